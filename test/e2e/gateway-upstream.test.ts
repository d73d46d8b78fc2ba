import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import OpenAI from 'openai';
import { createEchoModel, type EchoBehaviour, type EchoModel } from '../../lib/testing/index.ts';
import { eventually } from '../support/eventually.ts';
import { type TestGateway, testGateway } from '../support/gateway.ts';
import { type Listening, listen } from '../support/listen.ts';

describe('startGateway on an upstream', () => {
  let echo: EchoModel;
  let upstream: Listening;
  let gateway: TestGateway;
  let behaviour: EchoBehaviour;
  const connections = new Set<unknown>();

  before(async () => {
    echo = createEchoModel({ behaviour: () => behaviour });
    upstream = await listen((req, res) => {
      connections.add(req.socket);
      echo(req, res);
    });
    gateway = await testGateway({ UPSTREAM_BASE_URL: `${upstream.url}/v1`, UPSTREAM_API_KEY: 'sk-upstream' });
  });
  beforeEach(() => {
    behaviour = {};
  });
  after(async () => {
    await gateway.close();
    await upstream.close();
  });

  const messages = [{ role: 'user', content: 'one two three' }];

  function ask(secret: string, body: object = {}, init: RequestInit = {}): Promise<Response> {
    return post('/v1/chat/completions', secret, { model: 'echo', messages, ...body }, init);
  }

  function post(path: string, secret: string, body: object, init: RequestInit = {}): Promise<Response> {
    return fetch(`${gateway.url}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      ...init,
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json', ...init.headers },
    });
  }

  it('says where requests go', () => {
    assert.ok(gateway.output().includes(`Requests go to ${upstream.url}/v1`));
    assert.ok(!gateway.output().includes('sk-upstream'));
  });

  it('passes a request on with its own credential, and only what the upstream may know', async () => {
    const { secret } = await gateway.createKey();
    const response = await ask(secret, {}, { headers: { cookie: 'a=1', 'x-forwarded-for': '10.0.0.1' } });
    assert.equal(response.status, 200);
    await response.text();
    const seen = echo.requests.at(-1);
    assert.deepEqual([seen?.url, seen?.body], ['/v1/chat/completions', { model: 'echo', messages }]);
    const { authorization, cookie, 'x-forwarded-for': forwarded } = seen?.headers ?? {};
    assert.deepEqual([authorization, cookie, forwarded], ['Bearer sk-upstream', undefined, undefined]);
    assert.ok(!JSON.stringify(seen).includes(secret));
  });

  for (const [path, body, credential, url = path] of [
    ['/v1/messages', { model: 'claude-sonnet-4', max_tokens: 9, messages }, 'x-api-key'],
    ['/v1beta/models/gemini-2.5-flash:generateContent', { contents: [{ parts: [{ text: 'Hi' }] }] }, 'x-goog-api-key'],
    [
      '/v1beta/models/gemini-2.5-flash:streamGenerateContent?key=&alt=sse',
      { contents: [{ parts: [{ text: 'Hi' }] }] },
      'x-goog-api-key',
      '/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse',
    ],
  ] as const) {
    it(`puts its credential for ${path} into ${credential}`, async () => {
      const { secret } = await gateway.createKey();
      const response = await post(path, secret, body);
      assert.equal(response.status, 200);
      await response.text();
      const seen = echo.requests.at(-1);
      assert.deepEqual(
        [seen?.url, seen?.headers[credential], seen?.headers.authorization],
        [url, 'sk-upstream', undefined],
      );
    });
  }

  it('passes a stream on byte for byte, and charges it', async () => {
    const { secret } = await gateway.createKey();
    behaviour = { chunkBytes: 3 };
    const body = { model: 'echo', messages, stream: true, stream_options: { include_usage: true } };
    const text = await (await ask(secret, body)).text();
    const direct = await fetch(`${upstream.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(body) });
    assert.equal(text, await direct.text());
    assert.equal((await gateway.settledBalance(secret)).spend, 0.000009);
  });

  it('drops what the upstream tells of its own limits and accounts', async () => {
    const { secret } = await gateway.createKey({ rpmLimit: 5 });
    behaviour = {
      headers: {
        'x-ratelimit-remaining-requests': '9999',
        'anthropic-ratelimit-requests-remaining': '9999',
        'set-cookie': 'a=1',
        'openai-organization': 'org-gateway',
        'x-request-id': 'req_upstream',
      },
    };
    const { headers } = await ask(secret);
    assert.deepEqual(
      ['x-ratelimit-remaining-requests', 'set-cookie', 'openai-organization'].map((name) => headers.get(name)),
      ['4', null, null],
    );
    assert.match(headers.get('x-request-id') ?? '', /^req_(?!upstream)/);
  });

  it('passes an error of the upstream on, with the time after which to try again, and charges nothing', async () => {
    const { secret } = await gateway.createKey({ maxBudget: 1 });
    behaviour = { status: 429, headers: { 'retry-after': '7' } };
    const response = await ask(secret);
    assert.deepEqual([response.status, response.headers.get('retry-after')], [429, '7']);
    await response.text();
    const { spend, held } = await gateway.settledBalance(secret);
    assert.deepEqual([spend, held], [0, 0]);
  });

  it('does not blame the client when the upstream refuses the credential of the gateway', async () => {
    const { secret } = await gateway.createKey();
    behaviour = { status: 401 };
    const before = echo.requests.length;
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: secret });
    await assert.rejects(client.chat.completions.create({ model: 'echo', messages: [] }), {
      status: 502,
      code: 'upstream_error',
    });
    assert.equal(echo.requests.length - before, 1);
    assert.match(gateway.output(), /The upstream refuses the key in UPSTREAM_API_KEY/);
  });

  it('aborts the call upstream when the client leaves, charges what was seen, and frees the slot', async () => {
    const { secret } = await gateway.createKey({ maxParallelRequests: 1, maxBudget: 1 });
    behaviour = { fault: 'stall', faultAfter: 3 };
    const leaving = new AbortController();
    const response = await ask(secret, { stream: true }, { signal: leaving.signal });
    const reader = response.body?.getReader();
    let text = '';
    while (!text.includes(' two')) text += Buffer.from((await reader?.read())?.value ?? []).toString();
    leaving.abort();
    const { spend, held } = await gateway.settledBalance(secret);
    assert.ok(spend > 0, 'what was seen is charged');
    assert.equal(held, 0);
    await eventually(() => echo.requests.at(-1)?.outcome === 'broken_off');
    behaviour = {};
    assert.equal((await ask(secret)).status, 200);
  });

  it('aborts the call upstream when the client leaves before an answer', async () => {
    const { secret } = await gateway.createKey();
    behaviour = { delayMs: 60_000 };
    const before = echo.requests.length;
    const leaving = new AbortController();
    const asked = ask(secret, {}, { signal: leaving.signal });
    await eventually(() => echo.requests.length > before);
    leaving.abort();
    await assert.rejects(asked, { name: 'AbortError' });
    await eventually(() => echo.requests.at(-1)?.outcome === 'broken_off');
    assert.equal((await gateway.settledBalance(secret)).openRequests, 0);
  });

  it('breaks off the answer when the upstream does', async () => {
    const { secret } = await gateway.createKey();
    behaviour = { fault: 'abort' };
    await assert.rejects((await ask(secret, { stream: true })).text(), TypeError);
  });

  it('uses a connection again', async () => {
    const { secret } = await gateway.createKey();
    await (await ask(secret)).text();
    const before = connections.size;
    for (let call = 0; call < 5; call += 1) await (await ask(secret)).text();
    assert.equal(connections.size, before);
  });

  it('tries once more where a connection that was kept turns out to be closed', async () => {
    // Answers one request of each connection, and resets it at the next.
    let resets = 0;
    const served = new WeakSet();
    const forgetful = await listen((req, res) => {
      if (served.has(req.socket)) {
        resets += 1;
        req.socket.resetAndDestroy();
        return;
      }
      served.add(req.socket);
      createEchoModel()(req, res);
    });
    const own = await testGateway({ UPSTREAM_BASE_URL: forgetful.url });
    const { secret } = await own.createKey();
    const statuses = [];
    for (let call = 0; call < 3; call += 1) {
      const response = await fetch(`${own.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'echo', messages }),
      });
      await response.text();
      statuses.push(response.status);
    }
    await own.close();
    await forgetful.close();
    assert.deepEqual(statuses, [200, 200, 200]);
    assert.ok(resets > 0);
  });

  it('answers 502 when the upstream cannot be reached', async () => {
    const gone = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => gone.once('listening', resolve));
    const address = gone.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    await new Promise((resolve) => gone.close(resolve));
    const own = await testGateway({ UPSTREAM_BASE_URL: `http://127.0.0.1:${port}` });
    const { secret } = await own.createKey({ maxBudget: 1 });
    const response = await fetch(`${own.url}/v1/messages`, {
      method: 'POST',
      headers: { 'x-api-key': secret, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'claude-sonnet-4', max_tokens: 9, messages }),
    });
    const { held, spend } = await own.settledBalance(secret);
    await own.close();
    const message = 'The upstream cannot be reached';
    assert.deepEqual(
      [response.status, await response.json()],
      [502, { type: 'error', message, error: { type: 'api_error', message } }],
    );
    assert.deepEqual([spend, held], [0, 0]);
    assert.match(own.output(), /warning: The upstream cannot be reached: ECONNREFUSED/);
  });

  it('reads no faster than the client', async () => {
    const size = 64 * 1024 * 1024;
    const frame = Buffer.from(`: ${'x'.repeat(64 * 1024)}\n\n`);
    let written = 0;
    const torrent = await listen((req, res) => {
      req.resume();
      const more = () => {
        while (written < size) {
          written += frame.length;
          if (!res.write(frame)) return;
        }
        res.end();
      };
      res.writeHead(200, { 'content-type': 'text/event-stream' }).on('drain', more);
      more();
    });
    const own = await testGateway({ UPSTREAM_BASE_URL: torrent.url });
    const { secret } = await own.createKey();
    const leaving = new AbortController();
    const response = await fetch(`${own.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'echo', messages, stream: true }),
      signal: leaving.signal,
    });
    assert.equal(response.status, 200);
    // The buffers on the way fill up, and then nothing moves any more.
    let seen = -1;
    await eventually(async () => {
      const isStill = seen === written;
      seen = written;
      for (let call = 0; call < 20; call += 1) await fetch(`${own.url}/healthz`);
      return isStill && seen === written;
    });
    leaving.abort();
    await own.close();
    await torrent.close();
    assert.ok(written < size, `${written} bytes were read ahead`);
  });
});
