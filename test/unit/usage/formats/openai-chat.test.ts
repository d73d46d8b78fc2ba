import assert from 'node:assert/strict';
import { isUsageOnlyChunk } from '../../../../lib/usage/formats/openai-chat.ts';
import { assertUsage, readBody, readEvents } from './read.ts';

const usage = {
  prompt_tokens: 1200,
  completion_tokens: 300,
  total_tokens: 1500,
  prompt_tokens_details: { cached_tokens: 1024, cache_write_tokens: 100, audio_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 128, audio_tokens: 0, rejected_prediction_tokens: 0 },
};

function chunk(delta: object | null, rest: object = {}) {
  const choices = delta === null ? [] : [{ index: 0, delta, finish_reason: null }];
  return { id: 'chatcmpl-1', object: 'chat.completion.chunk', model: 'gpt-4o-2024-08-06', choices, ...rest };
}

describe('openAIChat', () => {
  it('reads a chat completion, with cache and reasoning inside the counts', () => {
    const message = { role: 'assistant', content: 'Hello', refusal: null };
    const reading = readBody('openai-chat', { model: 'gpt-4o-2024-08-06', choices: [{ index: 0, message }], usage });
    assertUsage(reading, 1200, 300, 1024, 100);
    assert.equal(reading.model, 'gpt-4o-2024-08-06');
    assert.equal(reading.error, false);
  });

  it('reads a legacy completion', () => {
    const choices = [{ text: 'Hello', index: 0, finish_reason: 'stop' }];
    const legacy = { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 };
    assertUsage(readBody('openai-chat', { model: 'davinci-002', choices, usage: legacy }), 5, 7);
    assert.equal(readBody('openai-chat', { choices }).unreportedOutputTokens, 2);
  });

  it('reads the usage chunk at the end of a stream', () => {
    const reading = readEvents('openai-chat', [
      chunk({ role: 'assistant', content: '' }, { usage: null }),
      chunk({ content: 'Hello there' }, { usage: null }),
      chunk(null, { usage }),
    ]);
    assertUsage(reading, 1200, 300, 1024, 100);
    assert.equal(reading.unreportedOutputTokens, 0);
  });

  it('reads usage that comes with the last choice, as llama.cpp sends it', () => {
    const last = chunk({}, { usage: { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13 } });
    assertUsage(readEvents('openai-chat', [chunk({ content: 'Hi' }), last]), 9, 4);
  });

  it('keeps the last of running counts, as vLLM sends them, and counts only what came after', () => {
    const running = (completion_tokens: number) => ({ usage: { prompt_tokens: 9, completion_tokens } });
    const reading = readEvents('openai-chat', [
      chunk({ content: 'one two ' }, running(2)),
      chunk({ content: 'three four' }, running(4)),
      chunk({ content: 'five five' }),
    ]);
    assertUsage(reading, 9, 4);
    assert.equal(reading.unreportedOutputTokens, 3);
  });

  it('keeps usage that is followed by chunks with null, as xAI sends it', () => {
    const told = { prompt_tokens: 32, completion_tokens: 9, total_tokens: 41 };
    const reading = readEvents('openai-chat', [
      chunk({ content: 'Hi' }, { usage: told }),
      chunk({}, { usage: null }),
      chunk({}),
    ]);
    assertUsage(reading, 32, 9);
  });

  it('adds reasoning where the total shows that the completion leaves it out', () => {
    const beside = {
      prompt_tokens: 32,
      completion_tokens: 9,
      total_tokens: 135,
      completion_tokens_details: { reasoning_tokens: 94 },
    };
    assertUsage(readBody('openai-chat', { choices: [], usage: beside }), 32, 103);
  });

  it('reads the cache hits of DeepSeek', () => {
    const deepSeek = {
      prompt_tokens: 100,
      completion_tokens: 5,
      prompt_cache_hit_tokens: 64,
      prompt_cache_miss_tokens: 36,
    };
    assertUsage(readBody('openai-chat', { choices: [], usage: deepSeek }), 100, 5, 64);
  });

  it('sees text, reasoning, refusals and tool calls as output, but no padding', () => {
    const reading = readEvents('openai-chat', [
      chunk({ role: 'assistant', content: 'größer' }, { obfuscation: 'x'.repeat(500) }),
      chunk({ reasoning_content: 'thinking' }),
      chunk({ reasoning: 'pondering' }),
      chunk({ refusal: 'no' }),
      chunk({ tool_calls: [{ index: 0, id: 'call_1', function: { name: 'find', arguments: '' } }] }),
      chunk({ tool_calls: [{ index: 0, function: { arguments: '{"a":1}' } }] }),
      chunk({ content: [{ type: 'text', text: 'part' }] }),
    ]);
    assert.equal(reading.usage, null);
    assert.equal(reading.unreportedOutputTokens, Math.ceil((8 + 8 + 9 + 2 + 4 + 7 + 4) / 4));
  });

  it('notices an error in the middle of a stream', () => {
    const error = { message: 'overloaded', type: 'server_error', param: null, code: null };
    assert.equal(readEvents('openai-chat', [chunk({ content: 'Hi' }), { error }]).error, true);
    assert.equal(readEvents('openai-chat', [{ error: 'overloaded' }]).error, true);
    assert.equal(readEvents('openai-chat', [chunk({ content: 'Hi' }, { error: null })]).error, false);
  });

  it('reads nothing from usage without counts', () => {
    const reading = readBody('openai-chat', { choices: [], usage: {} });
    assert.deepEqual([reading.usage, reading.problem], [null, null]);
  });

  const impossible: [string, object][] = [
    ['negative', { prompt_tokens: -1, completion_tokens: 2 }],
    ['fractional', { prompt_tokens: 1, completion_tokens: 2.5 }],
    ['more than any call can have', { prompt_tokens: 1e12, completion_tokens: 2 }],
    ['text', { prompt_tokens: '10', completion_tokens: 2 }],
    ['an object', { prompt_tokens: {}, completion_tokens: 2 }],
    [
      'more cached than sent',
      { prompt_tokens: 10, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 11 } },
    ],
  ];
  for (const [what, counts] of impossible) {
    it(`refuses usage that is ${what}, and goes by what was seen`, () => {
      const reading = readEvents('openai-chat', [
        chunk({ content: 'four' }, { usage }),
        chunk(null, { usage: counts }),
      ]);
      assert.deepEqual([reading.usage, reading.problem], [null, 'impossible_usage']);
      assert.equal(reading.unreportedOutputTokens, 1);
    });
  }

  it('never throws, whatever the shape', () => {
    const shapes = [
      { choices: null },
      { choices: [null, 3, { delta: 'x' }] },
      { usage: [] },
      { choices: {}, model: 7 },
    ];
    for (const shape of shapes) {
      const reading = readBody('openai-chat', shape);
      assert.deepEqual([reading.usage, reading.model, reading.error], [null, null, false]);
    }
  });
});

describe('isUsageOnlyChunk', () => {
  it('is true of a chunk with usage and no choices, and nothing else', () => {
    assert.equal(isUsageOnlyChunk(chunk(null, { usage })), true);
  });

  it('is false of every other chunk', () => {
    assert.deepEqual(
      [
        chunk(null),
        chunk(null, { usage: null }),
        chunk(null, { usage: null, prompt_filter_results: [{}] }),
        chunk(null, { usage, moderation: { flagged: false } }),
        chunk(null, { usage, error: { message: 'no' } }),
        chunk({}, { usage }),
        { usage },
      ].map(isUsageOnlyChunk),
      [false, false, false, false, false, false, false],
    );
  });
});
