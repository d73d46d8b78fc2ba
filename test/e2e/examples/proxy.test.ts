import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { createEchoModel } from '../../../lib/testing/echo-model/echo-model.ts';
import { collect } from '../../support/collect.ts';
import { type RunningExample, startExample } from '../../support/example.ts';
import { charge } from '../../support/usage-events.ts';

describe('the example of a proxy', () => {
  const model = createEchoModel();
  let app: RunningExample;
  let client: OpenAI;
  const question = { model: 'gpt-4o', messages: [{ role: 'user' as const, content: 'is it raining' }] };

  before(async () => {
    app = await startExample('proxy.ts', model);
    client = new OpenAI({ baseURL: `${app.url}/v1`, apiKey: app.secret, maxRetries: 0 });
  });
  after(() => app.stop());

  it('passes a call on with the cap that was written into its body, and with the key of the provider', async () => {
    const { choices } = await client.chat.completions.create(question);
    assert.equal(choices[0]?.message.content, 'is it raining');
    const sent = model.requests.at(-1);
    assert.deepEqual(sent?.body, { ...question, max_completion_tokens: 1_000 });
    assert.equal(sent?.url, '/v1/chat/completions');
    assert.equal(sent?.headers['content-length'], String(JSON.stringify(sent?.body).length));
    assert.equal(sent?.headers.authorization, 'Bearer of-the-provider');
  });

  it('asks upstream for the usage of a stream, and keeps that chunk from a client that did not ask', async () => {
    const chunks = await collect(await client.chat.completions.create({ ...question, max_tokens: 9, stream: true }));
    assert.deepEqual(model.requests.at(-1)?.body, {
      ...question,
      max_tokens: 9,
      stream: true,
      stream_options: { include_usage: true },
    });
    assert.equal(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join(''), 'is it raining');
    assert.deepEqual(
      chunks.filter(({ choices }) => choices.length === 0),
      [],
    );
  });

  it('gives the usage of a stream to a client that asked for it', async () => {
    const chunks = await collect(
      await client.chat.completions.create({ ...question, stream: true, stream_options: { include_usage: true } }),
    );
    assert.deepEqual(chunks.at(-1)?.usage, { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 });
  });

  it('charges each call by what the upstream told', async () => {
    const told = { model: 'gpt-4o', inputTokens: 3, outputTokens: 3, costUsd: 0.0000375, source: 'reported' };
    assert.deepEqual((await app.charges(3)).map(charge), [told, told, told]);
  });

  it("answers an upstream's error as it came, and charges nothing for it", async () => {
    const headers = { 'x-echo-behaviour': '{"status":500}' };
    await assert.rejects(client.chat.completions.create(question, { headers }), OpenAI.InternalServerError);
    await client.chat.completions.create(question);
    assert.equal((await app.charges(4)).length, 4);
  });
});
