import assert from 'node:assert/strict';
import { assertUsage, readBody, readEvents } from './read.ts';

describe('openAIEmbeddings', () => {
  it('reads input tokens only', () => {
    const usage = { prompt_tokens: 8, total_tokens: 8 };
    const reading = readBody('openai-embeddings', { object: 'list', data: [], model: 'text-embedding-3-small', usage });
    assertUsage(reading, 8, 0);
    assert.equal(reading.model, 'text-embedding-3-small');
  });
});

describe('openAIImages', () => {
  const usage = {
    input_tokens: 50,
    output_tokens: 4160,
    total_tokens: 4210,
    input_tokens_details: { text_tokens: 10, image_tokens: 40 },
  };

  it('reads the usage of image models that tell it', () => {
    assertUsage(readBody('openai-images', { created: 1, data: [{ b64_json: 'AAAA' }], usage }), 50, 4160);
    assert.equal(readBody('openai-images', { created: 1, data: [{ url: 'https://example.com/1.png' }] }).usage, null);
  });

  for (const kind of ['image_generation', 'image_edit']) {
    it(`reads the end of an ${kind} stream`, () => {
      const reading = readEvents('openai-images', [
        { type: `${kind}.partial_image`, b64_json: 'A'.repeat(4000), partial_image_index: 0 },
        { type: `${kind}.completed`, b64_json: 'A'.repeat(4000), usage },
      ]);
      assertUsage(reading, 50, 4160);
      assert.deepEqual([reading.complete, reading.unreportedOutputTokens], [true, 0]);
    });
  }
});

describe('openAIAudio', () => {
  const usage = {
    type: 'tokens',
    input_tokens: 14,
    output_tokens: 45,
    total_tokens: 59,
    input_token_details: { text_tokens: 0, audio_tokens: 14 },
  };

  it('reads usage in tokens', () => {
    assertUsage(readBody('openai-audio', { text: 'Hello', usage }), 14, 45);
  });

  it('leaves usage in seconds unread, and sees the text', () => {
    const reading = readBody('openai-audio', { text: 'Hello there', usage: { type: 'duration', seconds: 3 } });
    assert.deepEqual([reading.usage, reading.problem, reading.unreportedOutputTokens], [null, null, 3]);
  });

  it('reads the end of a stream', () => {
    const reading = readEvents('openai-audio', [
      { type: 'transcript.text.delta', delta: 'Hello' },
      { type: 'transcript.text.done', text: 'Hello', usage },
    ]);
    assertUsage(reading, 14, 45);
    assert.deepEqual([reading.complete, reading.unreportedOutputTokens], [true, 0]);
  });
});

describe('free', () => {
  it('reports no tokens for moderations and for counting tokens', () => {
    assertUsage(readBody('openai-moderations', { id: 'modr-1', results: [] }), 0, 0);
    assertUsage(readBody('anthropic-count', { input_tokens: 2095 }), 0, 0);
    assertUsage(readBody('gemini-count', { totalTokens: 31, cachedContentTokenCount: 10 }), 0, 0);
  });
});
