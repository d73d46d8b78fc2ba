import assert from 'node:assert/strict';
import express from 'express';
import type { EchoBehaviour } from '../../../../lib/testing/echo-model/behaviour.ts';
import { createEchoModel, type EchoModel } from '../../../../lib/testing/echo-model/echo-model.ts';
import { collect } from '../../../support/collect.ts';
import { type Listening, listen } from '../../../support/listen.ts';

describe('createEchoModel, told how to behave', () => {
  let echo: EchoModel;
  let server: Listening;
  before(async () => {
    echo = createEchoModel();
    server = await listen(echo);
  });
  after(() => server.close());

  function ask(behaviour: EchoBehaviour, body: object = {}, init: RequestInit = {}): Promise<Response> {
    return fetch(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-echo-behaviour': JSON.stringify(behaviour) },
      body: JSON.stringify({ model: 'echo', messages: [{ role: 'user', content: 'one two three' }], ...body }),
      ...init,
    });
  }

  const streamed = { stream: true };

  it('answers the same request by the same bytes, however they are split', async () => {
    const whole = await (await ask({}, streamed)).text();
    assert.equal(await (await ask({ chunkBytes: 1 }, streamed)).text(), whole);
    assert.match(whole, /\n\ndata: \[DONE\]\n\n$/);
  });

  it('splits a body into chunks of the bytes asked for', async () => {
    const response = await ask({ chunkBytes: 7 }, streamed);
    const chunks = await collect(response.body ?? []);
    assert.ok(chunks.length > 20, `${chunks.length} chunks`);
  });

  it('waits before the answer and between its chunks', async () => {
    const startMs = performance.now();
    await (await ask({ delayMs: 30, chunkDelayMs: 10 }, streamed)).text();
    // Timers may fire a millisecond early.
    assert.ok(performance.now() - startMs >= 30 + 5 * 10 - 10);
  });

  it('answers with the error and the headers asked for', async () => {
    const response = await ask({ status: 429, headers: { 'retry-after': '7' } });
    assert.deepEqual([response.status, response.headers.get('retry-after')], [429, '7']);
    assert.deepEqual(await response.json(), {
      error: { message: 'The echo model was asked to fail', type: 'requests', param: null, code: null },
    });
  });

  it('says what it is told to say', async () => {
    const response = await ask({ reply: 'Four words of mine' });
    const { choices, usage } = (await response.json()) as { choices: { message: object }[]; usage: object };
    assert.deepEqual(choices[0]?.message, { role: 'assistant', content: 'Four words of mine', refusal: null });
    assert.deepEqual(usage, { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 });
  });

  it('tells no usage, or a wrong one, where asked for', async () => {
    const silent = (await (await ask({ usage: 'none' })).json()) as object;
    assert.equal('usage' in silent, false);
    const lying = (await (await ask({ usage: { inputTokens: -1, outputTokens: 2 } })).json()) as { usage: object };
    assert.deepEqual(lying.usage, { prompt_tokens: -1, completion_tokens: 2, total_tokens: 1 });
  });

  it('breaks off the connection after the events asked for', async () => {
    const response = await ask({ fault: 'abort', faultAfter: 2 }, streamed);
    let text = '';
    await assert.rejects(async () => {
      for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString();
    }, TypeError);
    assert.equal(text.match(/^data: /gm)?.length, 2);
    assert.equal(echo.requests.at(-1)?.outcome, 'broken_off');
  });

  it('ends a stream as if it were whole, without its last event', async () => {
    const text = await (await ask({ fault: 'truncate', faultAfter: 99 }, streamed)).text();
    assert.match(text, /"finish_reason":"stop"/);
    assert.doesNotMatch(text, /DONE/);
  });

  it('tells an error in the stream, and ends', async () => {
    const text = await (await ask({ fault: 'error_frame', faultAfter: 1 }, streamed)).text();
    const frames = text.split('\n\n').filter((frame) => frame !== '');
    assert.equal(frames.length, 2);
    assert.deepEqual(JSON.parse(frames[1]?.slice('data: '.length) ?? ''), {
      error: { message: 'The stream has failed', type: 'server_error', param: null, code: null },
    });
  });

  it('stalls until the client leaves', async () => {
    const leaving = new AbortController();
    const response = await ask({ fault: 'stall', faultAfter: 1 }, streamed, { signal: leaving.signal });
    const reader = response.body?.getReader();
    assert.match(Buffer.from((await reader?.read())?.value ?? []).toString(), /^data: /);
    assert.equal(echo.requests.at(-1)?.outcome, 'open');
    leaving.abort();
    await assert.rejects(async () => reader?.read(), { name: 'AbortError' });
  });

  it('stalls after the head alone', async () => {
    const leaving = new AbortController();
    const response = await ask({ fault: 'stall', faultAfter: 0 }, streamed, { signal: leaving.signal });
    assert.equal(response.status, 200);
    leaving.abort();
    await assert.rejects(response.text(), { name: 'AbortError' });
  });

  it('sends one half of an answer that is no stream', async () => {
    await assert.rejects((await ask({ fault: 'abort' })).text(), TypeError);
    const half = await (await ask({ fault: 'truncate' })).text();
    assert.throws(() => JSON.parse(half), SyntaxError);
  });

  for (const [wrong, message] of [
    ['{"delay":1}', 'x-echo-behaviour: there is no option "delay"; did you mean "delayMs"?'],
    ['{"delayMs":-1}', 'x-echo-behaviour: delayMs cannot be -1'],
    ['{"fault":"explode"}', 'x-echo-behaviour: fault cannot be "explode"'],
    ['not json', 'x-echo-behaviour: the behaviour must be an object, or the JSON of one'],
  ] as const) {
    it(`refuses the behaviour ${wrong}`, async () => {
      const response = await fetch(`${server.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'x-echo-behaviour': wrong },
      });
      assert.equal(response.status, 400);
      assert.equal(((await response.json()) as { error: { message: string } }).error.message, message);
    });
  }

  it('keeps the last requests only, with their bodies and headers', async () => {
    const forgetful = createEchoModel({ keepRequests: 2 });
    const own = await listen(forgetful);
    for (const model of ['a', 'b', 'c']) {
      await fetch(`${own.url}/v1/embeddings?x=1`, {
        method: 'POST',
        headers: { authorization: 'Bearer secret' },
        body: JSON.stringify({ model, input: 'one' }),
      });
    }
    await own.close();
    assert.deepEqual(
      forgetful.requests.map(({ method, url, headers, body, outcome }) => [
        method,
        url,
        headers.authorization,
        body,
        outcome,
      ]),
      ['b', 'c'].map((model) => ['POST', '/v1/embeddings?x=1', 'Bearer secret', { model, input: 'one' }, 'answered']),
    );
  });

  it('behaves as a function says that looks at the request', async () => {
    const moody = await listen(
      createEchoModel({ behaviour: ({ headers }) => (headers['x-try'] === '1' ? { status: 503 } : {}) }),
    );
    const statuses = [];
    for (const tries of ['1', '2']) {
      const { status } = await fetch(`${moody.url}/v1/models`, { headers: { 'x-try': tries } });
      statuses.push(status);
    }
    await moody.close();
    assert.deepEqual(statuses, [503, 200]);
  });

  it('takes the body that a parser has left, under whatever path it is mounted', async () => {
    const app = express();
    app.use('/ai', express.json(), createEchoModel());
    const mounted = await listen(app);
    const response = await fetch(`${mounted.url}/ai/openai/deployments/my%20gpt/chat/completions?api-version=1`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }] }),
    });
    await assert.doesNotReject(async () => {
      assert.equal(((await response.json()) as { model: string }).model, 'my gpt');
    });
    await mounted.close();
  });

  it('refuses options that do not exist', () => {
    assert.throws(() => createEchoModel({ behavior: {} } as object), TypeError);
    assert.throws(() => createEchoModel({ behaviour: { chunkBytes: 0 } }), {
      name: 'TypeError',
      message: 'createEchoModel: chunkBytes cannot be 0',
    });
  });
});
