import assert from 'node:assert/strict';
import { assertUsage, readBody, readEvents } from './read.ts';

const usage = {
  input_tokens: 2000,
  input_tokens_details: { cached_tokens: 1536, cache_write_tokens: 64 },
  output_tokens: 400,
  output_tokens_details: { reasoning_tokens: 256 },
  total_tokens: 2400,
};
const response = {
  id: 'resp_1',
  object: 'response',
  model: 'gpt-5-2025-08-07',
  status: 'in_progress',
  usage: null,
  error: null,
};

function terminal(type: string, rest: object) {
  return { type, sequence_number: 9, response: { ...response, ...rest } };
}

describe('openAIResponses', () => {
  it('reads a response', () => {
    const output = [{ type: 'message', content: [{ type: 'output_text', text: 'Hello' }] }];
    const reading = readBody('openai-responses', { ...response, status: 'completed', output, usage });
    assertUsage(reading, 2000, 400, 1536, 64);
    assert.equal(reading.model, 'gpt-5-2025-08-07');
    assert.equal(reading.error, false);
  });

  it('sees messages, reasoning and tool calls of a response without usage', () => {
    const output = [
      { type: 'reasoning', summary: [{ type: 'summary_text', text: 'hmm.' }] },
      {
        type: 'message',
        content: [
          { type: 'output_text', text: 'Hello' },
          { type: 'refusal', refusal: 'no' },
        ],
      },
      { type: 'function_call', name: 'find', arguments: '{"a":1}' },
    ];
    assert.equal(readBody('openai-responses', { ...response, output }).unreportedOutputTokens, Math.ceil(18 / 4));
  });

  for (const [type, isError] of [
    ['response.completed', false],
    ['response.incomplete', false],
    ['response.failed', true],
  ] as const) {
    it(`ends at ${type} and reads the usage there`, () => {
      const reading = readEvents('openai-responses', [
        { type: 'response.created', response },
        { type: 'response.output_text.delta', delta: 'Hello there' },
        terminal(type, { status: type.slice('response.'.length), usage }),
      ]);
      assertUsage(reading, 2000, 400, 1536, 64);
      assert.deepEqual([reading.complete, reading.error, reading.unreportedOutputTokens], [true, isError, 0]);
    });
  }

  it('sees the deltas of a stream that breaks off, but no audio', () => {
    const reading = readEvents('openai-responses', [
      { type: 'response.created', response },
      { type: 'response.output_text.delta', delta: 'text' },
      { type: 'response.reasoning_text.delta', delta: 'reason' },
      { type: 'response.function_call_arguments.delta', delta: '{}' },
      { type: 'response.output_audio.delta', delta: 'A'.repeat(4000) },
      { type: 'response.output_text.done', text: 'text' },
    ]);
    assert.deepEqual([reading.usage, reading.complete, reading.unreportedOutputTokens], [null, false, 3]);
    assert.equal(reading.model, 'gpt-5-2025-08-07');
  });

  it('notices a flat error event', () => {
    const error = { type: 'error', code: 'server_error', message: 'no', param: null, sequence_number: 3 };
    assert.equal(readEvents('openai-responses', [error]).error, true);
  });
});
