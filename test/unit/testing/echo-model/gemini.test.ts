import assert from 'node:assert/strict';
import { GoogleGenAI } from '@google/genai';
import { createEchoModel } from '../../../../lib/testing/echo-model/echo-model.ts';
import { collect } from '../../../support/collect.ts';
import { type Listening, listen } from '../../../support/listen.ts';

describe('createEchoModel, asked by the Gemini client', () => {
  let server: Listening;
  let client: GoogleGenAI;
  before(async () => {
    server = await listen(createEchoModel({ models: ['gemini-2.5-flash'] }));
    client = new GoogleGenAI({ apiKey: 'none', httpOptions: { baseUrl: server.url } });
  });
  after(() => server.close());

  const model = 'gemini-2.5-flash';
  const config = { systemInstruction: 'Be brief.' };

  it('repeats the last content of the user, and tells its usage', async () => {
    const response = await client.models.generateContent({ model, contents: 'How are you today', config });
    assert.deepEqual([response.text, response.modelVersion], ['How are you today', model]);
    assert.equal(response.candidates?.[0]?.finishReason, 'STOP');
    assert.deepEqual(
      { ...response.usageMetadata },
      { promptTokenCount: 6, candidatesTokenCount: 4, totalTokenCount: 10 },
    );
  });

  it('answers with several candidates, cut where the cap is', async () => {
    const response = await client.models.generateContent({
      model,
      contents: 'How are you today',
      config: { candidateCount: 2, maxOutputTokens: 3 },
    });
    assert.deepEqual(
      response.candidates?.map(({ content, finishReason }) => [content?.parts?.[0]?.text, finishReason]),
      [
        ['How are you', 'MAX_TOKENS'],
        ['How are you', 'MAX_TOKENS'],
      ],
    );
    assert.equal(response.usageMetadata?.candidatesTokenCount, 6);
  });

  it('streams a word a chunk with the usage until then', async () => {
    const stream = await client.models.generateContentStream({ model, contents: 'How are you', config });
    const chunks = await collect(stream);
    assert.deepEqual(
      chunks.map(({ text, candidates, usageMetadata }) => [
        text,
        candidates?.[0]?.finishReason,
        usageMetadata?.candidatesTokenCount,
      ]),
      [
        ['How', undefined, 1],
        [' are', undefined, 2],
        [' you', 'STOP', 3],
      ],
    );
  });

  it('streams one JSON array without alt=sse', async () => {
    const response = await fetch(`${server.url}/v1beta/models/${model}:streamGenerateContent`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text: 'How are' }] }] }),
    });
    const chunks = (await response.json()) as { candidates: { content: unknown; finishReason?: string }[] }[];
    assert.deepEqual(
      chunks.map(({ candidates }) => candidates[0]),
      [
        { content: { parts: [{ text: 'How' }], role: 'model' }, index: 0 },
        { content: { parts: [{ text: ' are' }], role: 'model' }, index: 0, finishReason: 'STOP' },
      ],
    );
  });

  it('embeds and counts', async () => {
    const { embeddings } = await client.models.embedContent({
      model: 'gemini-embedding-001',
      contents: ['one', 'two'],
      config: { outputDimensionality: 4 },
    });
    assert.deepEqual(
      embeddings?.map(({ values }) => values?.length),
      [4, 4],
    );
    const { totalTokens } = await client.models.countTokens({ model, contents: 'How are you today' });
    assert.equal(totalTokens, 4);
  });

  it('raises the error of the client when it is told to fail', async () => {
    const failing = new GoogleGenAI({
      apiKey: 'none',
      httpOptions: { baseUrl: server.url, headers: { 'x-echo-behaviour': '{"status":429}' } },
    });
    await assert.rejects(failing.models.generateContent({ model, contents: 'Hi' }), (error: Error) => {
      assert.deepEqual(JSON.parse(error.message), {
        error: { code: 429, message: 'The echo model was asked to fail', status: 'RESOURCE_EXHAUSTED' },
      });
      return true;
    });
  });
});
