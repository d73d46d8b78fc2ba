import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { collect } from '../support/collect.ts';
import { type TestGateway, testGateway } from '../support/gateway.ts';

describe('startGateway on the echo model', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await testGateway();
  });
  after(() => gateway.close());

  function openAI(secret: string): OpenAI {
    return new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: secret });
  }

  const hello = { model: 'echo', messages: [{ role: 'user' as const, content: 'Hello there, world' }] };

  it('answers the OpenAI client, plain and streamed, and charges both', async () => {
    const { secret } = await gateway.createKey({ maxBudget: 1 });
    const client = openAI(secret);
    const completion = await client.chat.completions.create(hello);
    assert.equal(completion.choices[0]?.message.content, 'Hello there, world');

    const chunks = await collect(await client.chat.completions.create({ ...hello, stream: true }));
    assert.equal(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join(''), 'Hello there, world');
    assert.equal(
      chunks.every(({ choices }) => choices.length === 1),
      true,
    );

    // Twice 3 tokens in at $1 and 3 out at $2 per million.
    assert.equal((await gateway.settledBalance(secret)).spend, 0.000018);
  });

  it('answers responses and embeddings of the OpenAI client', async () => {
    const { secret } = await gateway.createKey();
    const client = openAI(secret);
    assert.equal((await client.responses.create({ model: 'gpt-4o', input: 'Hi' })).output_text, 'Hi');
    const { data } = await client.embeddings.create({ model: 'text-embedding-3-small', input: ['one', 'two'] });
    assert.deepEqual(
      data.map(({ embedding }) => embedding.length),
      [8, 8],
    );
  });

  it('answers the Anthropic client, plain and streamed', async () => {
    const { secret } = await gateway.createKey();
    const client = new Anthropic({ baseURL: gateway.url, apiKey: secret });
    const request = { ...hello, model: 'claude-sonnet-4', max_tokens: 10 };
    const plain = await client.messages.create(request);
    const streamed = await client.messages.stream(request).finalMessage();
    assert.deepEqual(plain.content, streamed.content);
    assert.deepEqual(plain.content, [{ type: 'text', text: 'Hello there, world' }]);
    assert.equal((await gateway.settledBalance(secret)).spend, 0.000108);
  });

  it('answers the Gemini client, plain and streamed', async () => {
    const { secret } = await gateway.createKey();
    const { models } = new GoogleGenAI({ apiKey: secret, httpOptions: { baseUrl: gateway.url } });
    const request = { model: 'gemini-2.5-flash', contents: 'Hello there' };
    assert.equal((await models.generateContent(request)).text, 'Hello there');
    const chunks = await collect(await models.generateContentStream(request));
    assert.equal(chunks.map(({ text }) => text).join(''), 'Hello there');
    assert.equal((await gateway.settledBalance(secret)).spend, 0.0000112);
  });

  it('refuses the 61st request of a minute at 60 a minute', async () => {
    const { secret } = await gateway.createKey({ rpmLimit: 60 });
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: secret, maxRetries: 0 });
    await Promise.all(Array.from({ length: 60 }, () => client.chat.completions.create(hello)));
    await assert.rejects(client.chat.completions.create(hello), (error) => {
      assert.ok(error instanceof OpenAI.RateLimitError);
      assert.deepEqual([error.code, error.type], ['rate_limit_exceeded', 'requests']);
      const retryAfter = Number(error.headers.get('retry-after'));
      assert.ok(retryAfter >= 1 && retryAfter <= 60);
      return true;
    });
  });

  it('refuses what is over the budget so that the client does not try again', async () => {
    const { secret } = await gateway.createKey({ maxBudget: 0.000001 });
    let calls = 0;
    const client = new OpenAI({
      baseURL: `${gateway.url}/v1`,
      apiKey: secret,
      fetch: (url, init) => {
        calls += 1;
        return fetch(url, init);
      },
    });
    await assert.rejects(client.chat.completions.create(hello), { status: 429, code: 'insufficient_quota' });
    assert.equal(calls, 1);
  });

  it('refuses a revoked key on its next call', async () => {
    const { id, secret } = await gateway.createKey();
    await openAI(secret).chat.completions.create(hello);
    await gateway.admin(`/${id}/revoke`, { method: 'POST', body: '{"reason":"left"}' });
    await assert.rejects(openAI(secret).chat.completions.create(hello), { status: 401, code: 'api_key_revoked' });
  });

  it('gives new keys the defaults of the environment', async () => {
    const strict = await testGateway({
      VIRTUAL_KEY_PREFIX: 'sk-acme',
      VIRTUAL_KEY_DEFAULT_BUDGET: '2.5',
      VIRTUAL_KEY_DEFAULT_TPM: '5000',
      VIRTUAL_KEY_DEFAULT_RPM: '7',
    });
    const { id, secret } = await strict.createKey();
    const key = (await (await strict.admin(`/${id}`)).json()) as { [field: string]: unknown };
    await strict.close();
    assert.match(secret, /^sk-acme-/);
    assert.deepEqual([key.maxBudget, key.tpmLimit, key.rpmLimit], [2.5, 5000, 7]);
  });

  it('lets nobody administer without the token', async () => {
    for (const authorization of [undefined, 'Bearer ', 'Bearer wrong', `Basic ${gateway.adminToken}`]) {
      const response = await fetch(`${gateway.url}/api-keys`, { headers: authorization ? { authorization } : {} });
      assert.equal(response.status, 401, String(authorization));
    }
    assert.equal((await gateway.admin('')).status, 200);
  });

  it('tells that it is well', async () => {
    const response = await fetch(`${gateway.url}/healthz`);
    assert.deepEqual(
      [response.status, await response.json()],
      [200, { status: 'ok', store: { name: 'memory', state: 'up' } }],
    );
  });

  for (const path of ['/', '/chat/completions', '/healthz/x', '/v2/chat/completions']) {
    it(`knows no ${path}`, async () => {
      const response = await fetch(`${gateway.url}${path}`, { method: 'POST' });
      assert.equal(response.status, 404);
      assert.deepEqual(await response.json(), {
        error: {
          message: 'There is nothing at this path',
          type: 'invalid_request_error',
          code: 'not_found',
          param: null,
        },
      });
    });
  }

  it('answers a preflight without a key by itself', async () => {
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'OPTIONS',
      headers: { origin: 'https://example.com', 'access-control-request-method': 'POST' },
    });
    assert.equal(response.status, 404);
  });

  it('answers 400 to a path that cannot be decoded', async () => {
    const response = await fetch(`${gateway.url}/api-keys/%E0%A4%A`, {
      headers: { authorization: `Bearer ${gateway.adminToken}` },
    });
    assert.equal(response.status, 400);
  });
});
