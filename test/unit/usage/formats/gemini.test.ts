import assert from 'node:assert/strict';
import { assertUsage, readBody, readEvents } from './read.ts';

function response(parts: readonly object[], usageMetadata: object | undefined, finishReason?: string) {
  return {
    candidates: [{ content: { role: 'model', parts }, index: 0, finishReason }],
    modelVersion: 'gemini-2.5-flash',
    ...(usageMetadata === undefined ? {} : { usageMetadata }),
  };
}

describe('geminiGenerate', () => {
  it('adds thoughts to the output and tool prompts to the input, with cached content inside', () => {
    const usage = {
      promptTokenCount: 300,
      toolUsePromptTokenCount: 20,
      cachedContentTokenCount: 100,
      candidatesTokenCount: 40,
      thoughtsTokenCount: 60,
      totalTokenCount: 420,
      trafficType: 'ON_DEMAND',
    };
    const reading = readBody('gemini-generate', response([{ text: 'Hello' }], usage, 'STOP'));
    assertUsage(reading, 320, 100, 100);
    assert.equal(reading.model, 'gemini-2.5-flash');
  });

  it('keeps the last of cumulative counts, and ends where a reason to finish is given', () => {
    const usage = (candidatesTokenCount: number) => ({ promptTokenCount: 10, candidatesTokenCount });
    const first = readEvents('gemini-generate', [response([{ text: 'Hello ' }], usage(2))]);
    assert.equal(first.complete, false);
    const reading = readEvents('gemini-generate', [
      response([{ text: 'Hello ' }], usage(2)),
      response([{ text: 'there' }], usage(4), 'STOP'),
    ]);
    assertUsage(reading, 10, 4);
    assert.deepEqual([reading.complete, reading.unreportedOutputTokens], [true, 0]);
  });

  it('keeps what was told when a chunk tells nothing but the kind of traffic', () => {
    const told = { promptTokenCount: 10, candidatesTokenCount: 2 };
    const reading = readEvents('gemini-generate', [
      response([{ text: 'Hello' }], told),
      response([{ text: 'more' }], { trafficType: 'ON_DEMAND' }),
    ]);
    assertUsage(reading, 10, 2);
    assert.equal(reading.unreportedOutputTokens, 1);
  });

  it('counts what was seen while only the prompt was told', () => {
    const reading = readEvents('gemini-generate', [
      response([{ text: 'Hello', thought: true }], { promptTokenCount: 10 }),
      response([{ functionCall: { name: 'find', args: { a: 1 } } }], { promptTokenCount: 10 }),
      response([{ inlineData: { mimeType: 'image/png', data: 'A'.repeat(4000) } }], { promptTokenCount: 10 }),
    ]);
    assertUsage(reading, 10, 0);
    assert.equal(reading.unreportedOutputTokens, Math.ceil((5 + 4 + 7) / 4));
  });

  it('reads the response count of live sessions', () => {
    assertUsage(readBody('gemini-generate', { usageMetadata: { promptTokenCount: 7, responseTokenCount: 5 } }), 7, 5);
  });

  it('ends at a blocked prompt', () => {
    const blocked = { promptFeedback: { blockReason: 'SAFETY' }, usageMetadata: { promptTokenCount: 7 } };
    const reading = readEvents('gemini-generate', [blocked]);
    assertUsage(reading, 7, 0);
    assert.equal(reading.complete, true);
  });

  it('notices an error in a stream', () => {
    const error = { code: 503, message: 'overloaded', status: 'UNAVAILABLE' };
    assert.equal(readEvents('gemini-generate', [{ error }]).error, true);
  });

  it('refuses more cached content than there was prompt', () => {
    const usageMetadata = { promptTokenCount: 5, cachedContentTokenCount: 6 };
    assert.equal(readBody('gemini-generate', { usageMetadata }).problem, 'impossible_usage');
  });
});

describe('geminiEmbed', () => {
  it('sums the counts of the enterprise platform', () => {
    const embeddings = [
      { values: [], statistics: { tokenCount: 4 } },
      { values: [], statistics: { tokenCount: 5 } },
    ];
    assertUsage(readBody('gemini-embed', { embeddings }), 9, 0);
  });

  it('reads nothing where there are no counts', () => {
    assert.equal(readBody('gemini-embed', { embedding: { values: [0.1] } }).usage, null);
  });
});
