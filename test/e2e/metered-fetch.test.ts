import assert from 'node:assert/strict';
import { once } from 'node:events';
import Anthropic from '@anthropic-ai/sdk';
import type { Request, RequestHandler, Response } from 'express';
import OpenAI, { toFile } from 'openai';
import { getLlm } from '../../lib/http/context.ts';
import { meteredFetch } from '../../lib/http/metered-fetch.ts';
import { eventually } from '../support/eventually.ts';
import { listen } from '../support/listen.ts';
import {
  echoUpstream,
  type MeteredApp,
  type MeteredAppOptions,
  meteredApp,
  requestsOf,
  type Upstream,
} from '../support/metered-app.ts';
import { charge } from '../support/usage-events.ts';

const chat = { model: 'gpt-4o', messages: [{ role: 'user' as const, content: 'one two three' }] };
const charged = { model: 'gpt-4o', inputTokens: 3, outputTokens: 3, costUsd: 0.000036, source: 'reported' };

describe('req.llm.fetch', () => {
  let upstream: Upstream;
  let app: MeteredApp;
  beforeEach(async () => {
    upstream = await echoUpstream();
  });
  afterEach(async () => {
    await app.close();
    await upstream.close();
  });

  function openAI(req: Request, options: ConstructorParameters<typeof OpenAI>[0] = {}): OpenAI {
    return new OpenAI({ baseURL: `${upstream.url}/v1`, apiKey: 'upstream', fetch: getLlm(req).fetch, ...options });
  }

  function post(req: Request, init: RequestInit = {}, path = '/v1/chat/completions') {
    const headers = { 'content-type': 'application/json' };
    return getLlm(req).fetch(`${upstream.url}${path}`, {
      method: 'POST',
      headers,
      body: JSON.stringify(chat),
      ...init,
    });
  }

  const isCalled = () => upstream.requests[0]?.body !== undefined;

  /** What a handler's work comes to, told to its client in a shape of its own. */
  async function handle(work: (req: Request, res: Response) => unknown, options?: MeteredAppOptions): Promise<unknown> {
    app = await meteredApp(async (req, res) => {
      res.json({ told: (await work(req, res)) ?? null });
    }, options);
    const { told } = (await (await app.ask()).json()) as { told: unknown };
    return told;
  }

  describe('holding', () => {
    it('prices the first call by its own model, in place of what the door has held', async () => {
      await handle((req) => openAI(req).embeddings.create({ model: 'text-embedding-3-small', input: 'one two' }));
      const { spend } = await app.settled();
      assert.equal(spend, 0.000002);
      assert.deepEqual(
        app.charged.events.map(({ model }) => model),
        ['text-embedding-3-small'],
      );
      assert.equal(requestsOf(await app.settled()), 1);
    });

    it("counts each further call, and holds it against its own model's limits", async () => {
      const told = await handle(
        async (req) => {
          const client = openAI(req);
          await client.chat.completions.create(chat);
          await client.embeddings.create({ model: 'text-embedding-3-small', input: 'one' });
          return client.embeddings.create({ model: 'text-embedding-3-small', input: 'two' }).catch(facts);
        },
        { key: { modelRpmLimit: { 'text-embedding-3-small': 1 } } },
      );
      assert.deepEqual(told, { name: 'RateLimitError', status: 429, code: 'rate_limit_exceeded' });
      assert.equal(requestsOf(await app.settled()), 2);
      assert.equal(upstream.requests.length, 2);
    });

    it('lets the request take one slot, however many calls it makes at once', async () => {
      await handle((req) => Promise.all([1, 2, 3].map(() => openAI(req).chat.completions.create(chat))), {
        key: { maxParallelRequests: 1 },
      });
      assert.deepEqual((await app.charged.until(3)).map(charge), [charged, charged, charged]);
      assert.equal((await app.settled()).spend, 0.000108);
    });

    it('counts a call without a model, which takes no place: the response is read as ever', async () => {
      await handle((req) => openAI(req).models.list());
      const { openRequests } = await app.settled();
      assert.equal(openRequests, 0);
      assert.deepEqual(
        app.charged.events.map(({ source, costUsd }) => [source, costUsd > 0]),
        [
          ['reported', false],
          ['estimated', true],
        ],
      );
    });

    it('does not ask for models that the key may use, but with enforceModels', async () => {
      const key = { models: ['gpt-4o'] };
      const embed = (req: Request) =>
        openAI(req)
          .embeddings.create({ model: 'text-embedding-3-small', input: 'one' })
          .then(() => 'embedded', facts);
      assert.equal(await handle(embed, { key }), 'embedded');
      await app.close();
      const told = await handle(embed, { key, chain: { usage: { enforceModels: true } } });
      assert.deepEqual(told, { name: 'PermissionDeniedError', status: 403, code: 'model_not_allowed' });
      assert.equal(upstream.requests.length, 1);
      assert.equal((await app.settled()).spend, 0);
    });

    it('goes on after the response, where calls are held on their own', async () => {
      let later: Promise<unknown> = Promise.resolve();
      app = await meteredApp(async (req, res) => {
        const client = openAI(req);
        await client.chat.completions.create(chat);
        res.json({});
        later = once(res, 'close')
          .then(() => app.settled())
          .then(() => client.chat.completions.create(chat));
      });
      await app.ask();
      await later;
      assert.equal((await app.settled()).spend, 0.000072);
      assert.equal(requestsOf(await app.settled()), 2);
      assert.deepEqual((await app.charged.until(2)).map(charge), [charged, charged]);
    });

    it('charges a call that outlasts the response', async () => {
      upstream.behave({ delayMs: 50 });
      await handle(async (req) => {
        post(req).then((response) => response.text(), assert.ifError);
        await eventually(isCalled, 'The call upstream');
      });
      assert.deepEqual((await app.charged.until(1)).map(charge), [charged]);
      assert.equal((await app.settled()).spend, 0.000036);
    });
  });

  describe('refusing', () => {
    it("lets the SDK raise its own error after one call, and the handler's client gets what the handler says", async () => {
      const told = await handle(
        async (req) => {
          await openAI(req).chat.completions.create(chat);
          return openAI(req).chat.completions.create(chat).catch(facts);
        },
        { key: { rpmLimit: 1 } },
      );
      assert.deepEqual(told, { name: 'RateLimitError', status: 429, code: 'rate_limit_exceeded' });
      assert.equal(upstream.requests.length, 1);
      assert.deepEqual((await app.charged.until(1)).map(charge), [charged]);
    });

    it('charges nothing where every call was refused, whatever the handler answers', async () => {
      const messages = [{ role: 'user' as const, content: 'Hi' }];
      const claude = { model: 'claude-sonnet-4', max_tokens: 10_000, messages };
      const told = await handle(
        async (req) => {
          const anthropic = new Anthropic({ baseURL: upstream.url, apiKey: 'upstream', fetch: getLlm(req).fetch });
          return [
            await openAI(req)
              .chat.completions.create({ ...chat, max_tokens: 15_000 })
              .catch(facts),
            await anthropic.messages.create(claude).catch(({ status, type }) => ({ status, type })),
          ];
        },
        { key: { maxBudget: 0.1 }, service: { defaultOutputCap: 100 } },
      );
      assert.deepEqual(told, [
        { name: 'RateLimitError', status: 429, code: 'insufficient_quota' },
        { status: 402, type: 'billing_error' },
      ]);
      assert.equal(upstream.requests.length, 0);
      assert.equal((await app.settled()).spend, 0);
      assert.deepEqual(app.charged.events, []);
    });

    it('answers the budget status of the door', async () => {
      const told = await handle(
        (req) =>
          openAI(req)
            .chat.completions.create({ ...chat, max_tokens: 15_000 })
            .catch(({ status }) => status),
        { key: { maxBudget: 0.1 }, service: { defaultOutputCap: 100 }, chain: { limit: { budgetStatus: 402 } } },
      );
      assert.equal(told, 402);
    });

    it('refuses the next call of a key that was revoked meanwhile', async () => {
      const told = await handle(async (req) => {
        await openAI(req).chat.completions.create(chat);
        await app.keys.revoke(app.keyId);
        return openAI(req).chat.completions.create(chat).catch(facts);
      });
      assert.deepEqual(told, { name: 'AuthenticationError', status: 401, code: 'api_key_revoked' });
    });

    it('refuses what could not be metered', async () => {
      const bodies = [JSON.stringify({ ...chat, model: undefined }), '{"model": "gpt-4o",', '[]'];
      const told = await handle(async (req) => {
        const batch = await post(req, {}, '/v1/batches');
        return [
          batch.status,
          ...(await Promise.all(bodies.map((body) => post(req, { body })))).map(({ status }) => status),
        ];
      });
      assert.deepEqual(told, [400, 400, 400, 400]);
      assert.equal(upstream.requests.length, 0);
    });
  });

  describe('reading what is sent', () => {
    const text = JSON.stringify(chat);
    const stream = () => new Blob([text]).stream();
    const bodies: readonly (readonly [title: string, body: () => RequestInit])[] = [
      ['bytes', () => ({ body: Buffer.from(text) })],
      ['a Blob', () => ({ body: new Blob([text]) })],
      ['a stream', () => ({ body: stream(), duplex: 'half' })],
      ['a string without a type', () => ({ body: text, headers: {} })],
    ];
    for (const [title, init] of bodies) {
      it(`meters ${title}, and sends the same`, async () => {
        await handle(async (req) => (await post(req, init())).text());
        assert.deepEqual(upstream.requests[0]?.body, chat);
        assert.deepEqual((await app.charged.until(1)).map(charge), [charged]);
      });
    }

    it('meters a Request, and sends the same', async () => {
      await handle(async (req) => {
        const headers = { 'content-type': 'application/json', 'x-own': '1' };
        const request = new Request(`${upstream.url}/v1/chat/completions`, { method: 'POST', headers, body: text });
        return (await getLlm(req).fetch(request)).text();
      });
      assert.deepEqual([upstream.requests[0]?.body, upstream.requests[0]?.headers['x-own']], [chat, '1']);
      assert.deepEqual((await app.charged.until(1)).map(charge), [charged]);
    });

    it('finds the model of a form', async () => {
      await handle(
        async (req) =>
          openAI(req).audio.transcriptions.create({
            model: 'whisper-1',
            file: await toFile(Buffer.from('…'), 'a.wav'),
          }),
        { service: { unpriced: 'allow' } },
      );
      const [event] = await app.charged.until(1);
      assert.deepEqual([event?.model, event?.endpoint], ['whisper-1', '/v1/audio/transcriptions']);
    });

    it('asks for the usage of a stream where the SDK does not', async () => {
      await handle(async (req) => {
        for await (const _ of await openAI(req).chat.completions.create({ ...chat, stream: true }));
      });
      assert.deepEqual(upstream.requests[0]?.body, { ...chat, stream: true, stream_options: { include_usage: true } });
      assert.deepEqual((await app.charged.until(1)).map(charge), [charged]);
    });

    it('charges what was seen with injectUsage off', async () => {
      await handle(
        async (req) => {
          for await (const _ of await openAI(req).chat.completions.create({ ...chat, stream: true }));
        },
        { chain: { usage: { injectUsage: false } } },
      );
      assert.deepEqual(upstream.requests[0]?.body, { ...chat, stream: true });
      const [event] = await app.charged.until(1);
      assert.equal(event?.source, 'estimated');
      assert.ok(event.outputTokens > 0 && event.costUsd > 0);
    });

    it('warns once of an endpoint that is not known, and counts it as a request', async () => {
      await handle(async (req) => [
        await post(req, {}, '/v1beta/interactions'),
        await post(req, {}, '/v1beta/interactions'),
      ]);
      assert.equal(requestsOf(await app.settled()), 3);
      assert.deepEqual(app.log.lines, [
        'warn: req.llm.fetch: /v1beta/interactions is not known; calls of it count as requests only',
      ]);
    });
  });

  describe('failing', () => {
    it('holds each retry of the SDK as a call of its own, and charges the one that was answered', async () => {
      upstream.behave({ status: 500, headers: { 'retry-after-ms': '1' } });
      await handle((req) => openAI(req).chat.completions.create(chat));
      assert.equal(upstream.requests.length, 2);
      assert.equal(requestsOf(await app.settled()), 2);
      assert.deepEqual((await app.charged.until(1)).map(charge), [charged]);
    });

    for (const status of [401, 429]) {
      it(`gives everything back when the upstream answers ${status}`, async () => {
        upstream.behave({ status });
        const told = await handle((req) => openAI(req, { maxRetries: 0 }).chat.completions.create(chat).catch(facts));
        assert.deepEqual((told as { status: number }).status, status);
        assert.equal((await app.settled()).spend, 0);
        assert.deepEqual(app.charged.events, []);
      });
    }

    it('gives everything back when nobody listens', async () => {
      const gone = await listen(() => undefined);
      await gone.close();
      const baseURL = `${gone.url}/v1`;
      const told = await handle((req) =>
        openAI(req, { baseURL, maxRetries: 1, timeout: 1000 }).chat.completions.create(chat).catch(facts),
      );
      assert.equal((told as { name: string }).name, 'APIConnectionError');
      assert.equal((await app.settled()).spend, 0);
      assert.deepEqual(app.charged.events, []);
    });

    it('charges the estimate when the answer does not come in time', async () => {
      upstream.behave({ delayMs: 60_000 });
      await handle((req) =>
        openAI(req, { maxRetries: 0, timeout: 30 })
          .chat.completions.create({ ...chat, max_tokens: 8 })
          .catch(facts),
      );
      const [event] = await app.charged.until(1);
      // Text and role are 5 tokens; of the output, all that it may have.
      assert.deepEqual(event && charge(event), {
        ...charged,
        inputTokens: 5,
        outputTokens: 8,
        costUsd: 0.00009,
        source: 'partial',
      });
      assert.deepEqual(app.charged.problems, ['broken_off']);
      assert.equal((await app.settled()).spend, 0.00009);
    });

    for (const fault of ['abort', 'truncate', 'error_frame'] as const) {
      it(`charges what was seen when a stream ends by ${fault}`, async () => {
        upstream.behave({ fault });
        await handle(async (req) => {
          const stream = await openAI(req).chat.completions.create({ ...chat, stream: true });
          try {
            for await (const _ of stream);
          } catch {
            // Some faults the SDK does not notice.
          }
        });
        const events = await app.charged.until(1);
        assert.deepEqual(
          events.map(({ source, costUsd }) => [source, costUsd > 0]),
          [['partial', true]],
        );
        await app.settled();
      });
    }

    it('ends an answer that nobody reads by its lease, and charges its estimate', async () => {
      upstream.behave({ reply: 'word '.repeat(200_000) });
      await handle(async (req) => void (await post(req, { body: JSON.stringify({ ...chat, max_tokens: 8 }) })));
      assert.equal((await app.keys.balance(app.keyId)).openRequests, 1);
      app.clock.advance(120_000);
      await app.store.sweep(1);
      assert.equal((await app.settled()).spend, 0.00009);
    });
  });

  describe('when the client leaves', () => {
    const leave = async (isAsked: () => boolean) => {
      const client = new AbortController();
      const asked = app.ask({ signal: client.signal }).then(
        (response) => response.text(),
        () => 'left',
      );
      await eventually(isAsked, 'The call upstream');
      client.abort();
      await asked.catch(() => undefined);
    };
    const streamOn = async (req: Request, res: Response) => {
      const stream = await openAI(req).chat.completions.create({ ...chat, stream: true });
      for await (const chunk of stream) {
        res.write(JSON.stringify(chunk));
        // As handlers do that save their upstream the work.
        if (res.closed) break;
      }
      res.end();
    };

    it('aborts the call upstream, and charges what was seen', async () => {
      upstream.behave({ fault: 'stall' });
      app = await meteredApp(swallow(streamOn));
      const client = new AbortController();
      const answer = await app.ask({ signal: client.signal });
      await answer.body?.getReader().read();
      client.abort();
      await eventually(() => upstream.requests[0]?.outcome === 'broken_off', 'The abort upstream');
      const events = await app.charged.until(1);
      assert.deepEqual(
        events.map(({ source, costUsd }) => [source, costUsd > 0]),
        [['partial', true]],
      );
      await app.settled();
    });

    it('drains the answer for its usage with drainMs, also when the handler breaks off', async () => {
      upstream.behave({ chunkDelayMs: 20 });
      app = await meteredApp(swallow(streamOn), { chain: { usage: { drainMs: 60_000 } } });
      const client = new AbortController();
      const answer = await app.ask({ signal: client.signal });
      await answer.body?.getReader().read();
      client.abort();
      assert.deepEqual((await app.charged.until(1)).map(charge), [charged]);
      assert.equal(upstream.requests[0]?.outcome, 'answered');
      await app.settled();
    });

    it('drains for drainMs, and no longer', async () => {
      upstream.behave({ fault: 'stall' });
      app = await meteredApp(swallow(streamOn), { chain: { usage: { drainMs: 20 } } });
      const client = new AbortController();
      const answer = await app.ask({ signal: client.signal });
      await answer.body?.getReader().read();
      client.abort();
      const events = await app.charged.until(1);
      assert.deepEqual(
        events.map(({ source, costUsd }) => [source, costUsd > 0]),
        [['partial', true]],
      );
      await eventually(() => upstream.requests[0]?.outcome === 'broken_off', 'The abort upstream');
      await app.settled();
    });

    it('sends nothing more, and charges nothing for it', async () => {
      upstream.behave({ delayMs: 60_000 });
      let second: unknown;
      app = await meteredApp(
        swallow(async (req) => {
          const client = openAI(req, { maxRetries: 0 });
          await client.chat.completions.create(chat).catch(() => undefined);
          second = await post(req).catch(({ name }) => name);
        }),
      );
      await leave(isCalled);
      await eventually(() => second !== undefined, 'The second call');
      assert.equal(second, 'AbortError');
      await app.settled();
      assert.equal(upstream.requests.length, 1);
      assert.deepEqual(
        app.charged.events.map(({ source }) => source),
        ['partial'],
      );
    });
  });

  it('is a plain fetch where the request is held against nothing', async () => {
    const told = await handle(
      async (req) => {
        const through = await Promise.all([post(req), meteredFetch(`${upstream.url}/v1/models`)]);
        return through.map(({ status }) => status);
      },
      { chain: { limit: { skip: () => true } } },
    );
    assert.deepEqual(told, [200, 200]);
    assert.deepEqual(app.charged.events, []);
  });
});

describe('meteredFetch', () => {
  it('throws outside of a request, and calls nobody', async () => {
    const upstream = await echoUpstream();
    await assert.rejects(meteredFetch(upstream.url), {
      name: 'TypeError',
      message: 'meteredFetch: no request is being handled here; mount rateLimit and recordUsage before',
    });
    await upstream.close();
    assert.deepEqual(upstream.requests, []);
  });

  it('charges each of many requests at once for its own calls', async () => {
    const upstream = await echoUpstream();
    const client = new OpenAI({ baseURL: `${upstream.url}/v1`, apiKey: 'upstream', fetch: meteredFetch });
    const app = await meteredApp(async (_req, res) => {
      await client.chat.completions.create(chat);
      res.json(await client.chat.completions.create(chat));
    });
    const { key, secret } = await app.keys.create({ name: 'Other', models: ['*'], maxBudget: 1 });
    const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };
    const answers = await Promise.all(Array.from({ length: 20 }, (_, at) => app.ask(at % 4 === 0 ? { headers } : {})));
    await Promise.all(answers.map((answer) => answer.text()));
    const { spend } = await app.settled();
    await eventually(async () => (await app.keys.balance(key.id)).openRequests === 0);
    const other = await app.keys.balance(key.id);
    await app.close();
    await upstream.close();
    assert.deepEqual([spend, other.spend], [0.00108, 0.00036]);
    assert.equal(app.charged.events.length, 40);
  });
});

/** What an SDK's error tells. */
function facts(error: Error & { status?: number; code?: string }) {
  return { name: error.constructor.name, status: error.status, code: error.code };
}

/** A handler whose own failures are nobody's concern: its client has left. */
function swallow(handler: (req: Request, res: Response) => unknown): RequestHandler {
  return async (req, res) => {
    try {
      await handler(req, res);
    } catch {
      res.end();
    }
  };
}
