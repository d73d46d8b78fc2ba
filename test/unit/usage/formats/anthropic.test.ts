import assert from 'node:assert/strict';
import { assertUsage, readBody, readEvents } from './read.ts';

const usage = {
  input_tokens: 2000,
  cache_creation_input_tokens: 3000,
  cache_read_input_tokens: 5000,
  cache_creation: { ephemeral_5m_input_tokens: 1000, ephemeral_1h_input_tokens: 2000 },
  output_tokens: 1000,
  output_tokens_details: { thinking_tokens: 600 },
  server_tool_use: null,
  service_tier: 'standard',
};
const start = {
  type: 'message_start',
  message: {
    id: 'msg_1',
    type: 'message',
    model: 'claude-opus-5-5',
    content: [],
    usage: { ...usage, output_tokens: 3 },
  },
};
const text = (value: string) => ({
  type: 'content_block_delta',
  index: 0,
  delta: { type: 'text_delta', text: value },
});

describe('anthropicMessages', () => {
  it('adds cache tokens to the input of a message', () => {
    const content = [{ type: 'text', text: 'Hello' }];
    const reading = readBody('anthropic-messages', { type: 'message', model: 'claude-opus-5-5', content, usage });
    assertUsage(reading, 10_000, 1000, 5000, 3000);
    assert.equal(reading.model, 'claude-opus-5-5');
  });

  it('reads a message whose cache counts are null', () => {
    const bare = {
      input_tokens: 12,
      output_tokens: 6,
      cache_creation_input_tokens: null,
      cache_read_input_tokens: null,
    };
    assertUsage(readBody('anthropic-messages', { type: 'message', content: [], usage: bare }), 12, 6);
  });

  it('replaces the counts of a stream by those told later, never by null, and never adds them', () => {
    const reading = readEvents('anthropic-messages', [
      start,
      { type: 'ping' },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      text('Hello there'),
      { type: 'content_block_stop', index: 0 },
      {
        type: 'message_delta',
        delta: { stop_reason: null },
        usage: { output_tokens: 40, input_tokens: null, cache_read_input_tokens: null },
      },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 90, input_tokens: 2100 } },
      { type: 'message_stop' },
    ]);
    assertUsage(reading, 10_100, 90, 5000, 3000);
    assert.deepEqual([reading.complete, reading.unreportedOutputTokens], [true, 0]);
  });

  it('counts what was seen on top of the first word of a stream that breaks off', () => {
    const reading = readEvents('anthropic-messages', [
      start,
      { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'hmm ' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'A'.repeat(400) } },
      text('Hello'),
      { type: 'content_block_start', index: 2, content_block: { type: 'tool_use', id: 't', name: 'find', input: {} } },
      { type: 'content_block_delta', index: 2, delta: { type: 'input_json_delta', partial_json: '{"a":1}' } },
    ]);
    assertUsage(reading, 10_000, 3, 5000, 3000);
    assert.deepEqual([reading.complete, reading.unreportedOutputTokens], [false, Math.ceil(20 / 4)]);
  });

  it('adds what compaction cost, once, though a stream repeats it', () => {
    const iterations = [
      { type: 'compaction', input_tokens: 500, output_tokens: 50, cache_read_input_tokens: 100 },
      { type: 'message', input_tokens: 2000, output_tokens: 1000 },
    ];
    const whole = readBody('anthropic-messages', { type: 'message', content: [], usage: { ...usage, iterations } });
    assertUsage(whole, 10_600, 1050, 5100, 3000);
    const delta = { type: 'message_delta', usage: { output_tokens: 1000, iterations } };
    assertUsage(readEvents('anthropic-messages', [start, delta, delta]), 10_600, 1050, 5100, 3000);
  });

  it('goes by the name of an event that has no type', () => {
    const { type, message } = start;
    assertUsage(readEvents('anthropic-messages', [{ message }], [type]), 10_000, 3, 5000, 3000);
  });

  it('notices errors, in a body and in a stream', () => {
    const error = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } };
    assert.equal(readBody('anthropic-messages', error).error, true);
    assert.equal(readEvents('anthropic-messages', [start, error]).error, true);
  });

  it('refuses negative counts', () => {
    const reading = readBody('anthropic-messages', { usage: { input_tokens: 5, output_tokens: -5 } });
    assert.deepEqual([reading.usage, reading.problem], [null, 'impossible_usage']);
  });
});
