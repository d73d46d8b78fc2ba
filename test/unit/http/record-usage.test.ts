import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { brotliCompressSync, deflateSync, gunzipSync, gzipSync } from 'node:zlib';
import type { Request, RequestHandler } from 'express';
import { getLlm } from '../../../lib/http/context.ts';
import { type RecordUsageOptions, recordUsage } from '../../../lib/http/record-usage.ts';
import { requireApiKey } from '../../../lib/http/require-api-key.ts';
import { requireModelAccess } from '../../../lib/http/require-model-access.ts';
import type { KeyInput } from '../../../lib/keys/key-input.ts';
import type { UsageInput } from '../../../lib/keys/usage-input.ts';
import { createEchoModel } from '../../../lib/testing/index.ts';
import { priceBook } from '../../../lib/usage/pricing.ts';
import { type ChainOptions, chain, lastResort, onEachExpress } from '../../support/apps.ts';
import { compress } from '../../support/compress.ts';
import { eventually } from '../../support/eventually.ts';
import { exchange, open } from '../../support/exchange.ts';
import { answerChat, chatAnswer, waitingHandler } from '../../support/handlers.ts';
import { type Listening, listen } from '../../support/listen.ts';
import { createKey, testService } from '../../support/service.ts';
import { bytesOf, chatStreams, sendInPieces, streamUsage } from '../../support/streams.ts';
import { charge, usageLog } from '../../support/usage-events.ts';

const prices = priceBook({ '*': { inputPerMillion: 2.5, outputPerMillion: 10 } });
const eventStream = { 'content-type': 'text/event-stream' };
const question = { model: 'gpt-4o', messages: [{ role: 'user', content: 'How are you?' }], max_completion_tokens: 40 };
/** Four bytes a token of "user" and "How are you?". */
const questionTokens = 4;

onEachExpress('recordUsage', (createApp) => {
  const servers: Listening[] = [];
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((server) => server.close()));
  });

  interface SetUp extends ChainOptions {
    readonly fields?: Partial<KeyInput>;
    /** Mounted before all others, and between them and the handler. */
    readonly before?: RequestHandler;
    readonly after?: RequestHandler;
  }

  async function setUp(handler: RequestHandler, { fields, before, after, ...options }: SetUp = {}) {
    const service = testService({ prices });
    const { key, secret } = await createKey(service, { maxParallelRequests: 1, ...fields });
    const log = usageLog(service.keys);
    const app = createApp();
    if (before) app.use(before);
    app.use(...chain(createApp, service.keys, options), ...(after ? [after] : []), handler, ...lastResort());
    const server = await listen(app);
    servers.push(server);
    const headers = { 'x-api-key': secret };
    return {
      ...service,
      key,
      usage: log,
      post: (json: object, path = '/v1/chat/completions', more: Record<string, string> = {}) =>
        exchange(server.url + path, { json, headers: { ...headers, ...more } }),
      get: (path: string, method = 'GET') => exchange(server.url + path, { method, headers }),
      open: (json: object) => open(`${server.url}/v1/chat/completions`, { json, headers }),
      /** Nothing is held any more, and the one slot is free. */
      async free() {
        await eventually(async () => (await service.keys.balance(key.id)).openRequests === 0, 'The end of the call');
        const { held, spend } = await service.keys.balance(key.id);
        assert.equal(held, 0);
        return spend;
      },
    };
  }

  describe('charges to the nano-dollar what the answer tells', () => {
    const text = 'one two three';
    const messages = [{ role: 'user', content: text }];
    const contents = [{ role: 'user', parts: [{ text }] }];
    const both = { inputTokens: 3, outputTokens: 3, costUsd: 0.000_037_5 };
    const input = { inputTokens: 3, outputTokens: 0, costUsd: 0.000_007_5 };
    const nothing = { inputTokens: 0, outputTokens: 0, costUsd: 0 };
    const gemini = '/v1beta/models/gemini-2.5-flash';
    const calls: readonly [title: string, path: string, body: object, expected: typeof both, model?: string][] = [
      ['a chat', '/v1/chat/completions', { model: 'm', messages }, both],
      ['a streamed chat', '/v1/chat/completions', { model: 'm', messages, stream: true }, both],
      [
        'a streamed chat that asks for usage',
        '/v1/chat/completions',
        { model: 'm', messages, stream: true, stream_options: { include_usage: true } },
        both,
      ],
      [
        'a chat with two answers',
        '/v1/chat/completions',
        { model: 'm', messages, n: 2 },
        { inputTokens: 3, outputTokens: 6, costUsd: 0.000_067_5 },
      ],
      ['a completion', '/v1/completions', { model: 'm', prompt: text }, both],
      ['a streamed completion', '/v1/completions', { model: 'm', prompt: text, stream: true }, both],
      ['a response', '/v1/responses', { model: 'm', input: text }, both],
      ['a streamed response', '/v1/responses', { model: 'm', input: text, stream: true }, both],
      ['embeddings', '/v1/embeddings', { model: 'm', input: text }, input],
      ['moderations', '/v1/moderations', { model: 'm', input: text }, nothing],
      ['a message', '/v1/messages', { model: 'm', messages, max_tokens: 9 }, both],
      ['a streamed message', '/v1/messages', { model: 'm', messages, max_tokens: 9, stream: true }, both],
      ['a count of tokens', '/v1/messages/count_tokens', { model: 'm', messages }, nothing],
      ["Gemini's answer", `${gemini}:generateContent`, { contents }, both, 'gemini-2.5-flash'],
      ["Gemini's stream of events", `${gemini}:streamGenerateContent?alt=sse`, { contents }, both, 'gemini-2.5-flash'],
      ["Gemini's stream as an array", `${gemini}:streamGenerateContent`, { contents }, both, 'gemini-2.5-flash'],
      ["Azure's chat", '/openai/deployments/m/chat/completions?api-version=1', { messages }, both],
    ];
    for (const [title, path, body, expected, model = 'm'] of calls) {
      it(`of ${title}`, async () => {
        const { post, usage, free } = await setUp(createEchoModel());
        const { status } = await post(body, path);
        assert.equal(status, 200);
        const events = await usage.until(1);
        assert.deepEqual(events.map(charge), [{ model, ...expected, source: 'reported' }]);
        assert.deepEqual(usage.problems, []);
        assert.equal(await free(), expected.costUsd);
      });
    }

    it('once for each request, whatever id the client gives them', async () => {
      const { post, usage, free } = await setUp(answerChat, { fields: { maxParallelRequests: null } });
      await Promise.all(Array.from({ length: 100 }, () => post(question, undefined, { 'x-request-id': 'same' })));
      const events = await usage.until(100);
      assert.equal(new Set(events.map(({ holdId }) => holdId)).size, 100);
      assert.deepEqual([...new Set(events.map(({ trace }) => trace))], ['same']);
      assert.equal(await free(), 0.0075);
    });
  });

  describe('passes on a stream', () => {
    for (const { title, frames, injected } of chatStreams) {
      for (const pieceBytes of [1, 3, 4096]) {
        it(`${title} in pieces of ${pieceBytes} bytes, but for the chunk that the client has not asked for`, async () => {
          const handler = sendInPieces(bytesOf(frames), pieceBytes, eventStream);
          const { post, usage } = await setUp(handler);
          const { body } = await post({ ...question, stream: true });
          const others = frames.filter((_, at) => at !== injected);
          assert.equal(body.toString(), others.join(''));
          assert.deepEqual(body, bytesOf(others));
          assert.deepEqual((await usage.until(1)).map(charge), [
            { model: 'gpt-4o', ...streamUsage, costUsd: 0.000_32, source: 'reported' },
          ]);
        });
      }

      it(`${title} with every byte, where the client has asked for its usage`, async () => {
        const { post, usage } = await setUp(sendInPieces(bytesOf(frames), 1, eventStream));
        const { body } = await post({ ...question, stream: true, stream_options: { include_usage: true } });
        assert.deepEqual(body, bytesOf(frames));
        assert.equal((await usage.until(1))[0]?.costUsd, 0.000_32);
      });
    }

    const { frames } = chatStreams[3] ?? { frames: [] };

    it('that is compressed with every byte, and charges what is in it', async () => {
      const bytes = gzipSync(bytesOf(frames));
      const { post, usage } = await setUp(sendInPieces(bytes, 1, { ...eventStream, 'content-encoding': 'gzip' }));
      const { body } = await post({ ...question, stream: true });
      assert.deepEqual(body, bytes);
      assert.equal((await usage.until(1))[0]?.costUsd, 0.000_32);
    });

    it('through a compression mounted before, which sees what is left of it', async () => {
      const { post, usage } = await setUp(sendInPieces(bytesOf(frames), 7, eventStream), { before: compress });
      const { body, headers } = await post({ ...question, stream: true });
      assert.equal(headers['content-encoding'], 'gzip');
      assert.deepEqual(gunzipSync(body), bytesOf(frames.filter((_, at) => at !== 2)));
      assert.deepEqual((await usage.until(1)).map(charge), [
        { model: 'gpt-4o', ...streamUsage, costUsd: 0.000_32, source: 'reported' },
      ]);
    });

    it('through a compression mounted after, whose bytes it cannot cut', async () => {
      const { post, usage } = await setUp(sendInPieces(bytesOf(frames), 7, eventStream), { after: compress });
      const { body } = await post({ ...question, stream: true });
      assert.deepEqual(gunzipSync(body), bytesOf(frames));
      assert.equal((await usage.until(1))[0]?.costUsd, 0.000_32);
    });

    it('as it was, with injectUsage off, and charges what it saw of it', async () => {
      const silent = frames.filter((_, at) => at !== 2);
      const bodies: unknown[] = [];
      const { post, usage } = await setUp(
        (req, res, next) => {
          bodies.push(req.body);
          sendInPieces(bytesOf(silent), 5, eventStream)(req, res, next);
        },
        { usage: { injectUsage: false } },
      );
      const { body } = await post({ ...question, stream: true });
      assert.deepEqual(body, bytesOf(silent));
      assert.deepEqual(bodies, [{ ...question, stream: true }]);
      const [event] = await usage.until(1);
      const outputTokens = Math.ceil(Buffer.byteLength('日本語 🎉Ünïcödé\u2028') / 4);
      assert.deepEqual(
        [event?.inputTokens, event?.outputTokens, event?.source],
        [questionTokens, outputTokens, 'estimated'],
      );
      assert.deepEqual(usage.problems, ['unreported']);
    });

    it('sends the head before the first event is whole', async () => {
      const first = waitingHandler((_req, res) => void res.end(' x\n\n'));
      const { open } = await setUp((req, res, next) => {
        res.writeHead(200, eventStream);
        res.write('data:');
        first.handler(req, res, next);
      });
      const response = await open({ ...question, stream: true });
      assert.equal(response.statusCode, 200);
      first.release();
      assert.equal(String(Buffer.concat(await response.toArray())), 'data: x\n\n');
    });

    it('that ends without its end as partial', async () => {
      const { post, usage } = await setUp(sendInPieces(bytesOf(frames.slice(0, 1)), 9, eventStream));
      await post({ ...question, stream: true });
      const [event] = await usage.until(1);
      assert.deepEqual(
        [event?.inputTokens, event?.outputTokens, event?.source],
        [questionTokens, Math.ceil(Buffer.byteLength('日本語 🎉') / 4), 'partial'],
      );
    });

    it('asks for its usage in the body, beside what the client asks for, and drops what described the old one', async () => {
      const seen: unknown[] = [];
      const { post } = await setUp((req, res) => {
        const { 'content-length': length, 'content-md5': md5, digest, 'accept-encoding': encoding } = req.headers;
        const raw = req.rawHeaders.filter((name) =>
          /^(content-length|content-md5|digest|accept-encoding)$/i.test(name),
        );
        seen.push({ body: req.body, length, md5, digest, encoding, raw });
        res.end();
      });
      const stream_options = { include_obfuscation: false };
      await post({ ...question, stream: true, stream_options }, undefined, {
        'accept-encoding': 'gzip, br',
        'content-md5': 'x',
        digest: 'sha-256=x',
      });
      assert.deepEqual(seen, [
        {
          body: { ...question, stream: true, stream_options: { include_obfuscation: false, include_usage: true } },
          length: undefined,
          md5: undefined,
          digest: undefined,
          encoding: 'identity',
          raw: [],
        },
      ]);
    });

    it('without a length, though the handler told one', async () => {
      const bytes = bytesOf(frames);
      const { post } = await setUp((_req, res) => {
        res.writeHead(200, { ...eventStream, 'content-length': bytes.length });
        res.end(bytes);
      });
      const { body, headers } = await post({ ...question, stream: true });
      assert.equal(headers['content-length'], undefined);
      assert.deepEqual(body, bytesOf(frames.filter((_, at) => at !== 2)));
    });
  });

  describe('leaves responses as handlers expect them', () => {
    const body = JSON.stringify(chatAnswer('gpt-4o'));
    const senders: readonly [title: string, handler: RequestHandler][] = [
      ['res.json', (_req, res) => void res.json(chatAnswer('gpt-4o'))],
      ['res.send of a text', (_req, res) => void res.type('json').send(body)],
      ['res.send of a buffer', (_req, res) => void res.type('json').send(Buffer.from(body))],
      ['end alone', (_req, res) => void res.setHeader('content-type', 'application/json').end(body)],
      ['end with an encoding', (_req, res) => void res.end(Buffer.from(body).toString('base64'), 'base64')],
      [
        'writes and end',
        (_req, res) => {
          res.writeHead(200, 'Fine', { 'content-type': 'application/json' });
          for (const character of body) res.write(character, 'latin1');
          res.end();
        },
      ],
      [
        'typed arrays',
        (_req, res) => {
          res.writeHead(200, undefined, { 'content-type': 'application/json' });
          res.write(new Uint8Array(Buffer.from(body.slice(0, 9))));
          res.end(new Uint8Array(Buffer.from(body.slice(9))));
        },
      ],
      ['pipe', (_req, res) => void Readable.from([body.slice(0, 20), body.slice(20)]).pipe(res.type('json'))],
      [
        'pipeline',
        (_req, res, next) => void pipeline(Readable.from([Buffer.from(body)]), res.type('json')).catch(next),
      ],
      [
        'flushHeaders',
        (_req, res) => {
          res.type('json').flushHeaders();
          res.end(body);
        },
      ],
    ];
    for (const [title, handler] of senders) {
      it(`sent by ${title}`, async () => {
        const { post, usage } = await setUp(handler);
        const answer = await post(question);
        assert.deepEqual([answer.status, String(answer.body)], [200, body]);
        assert.deepEqual((await usage.until(1)).map(charge), [
          { model: 'gpt-4o', inputTokens: 10, outputTokens: 5, costUsd: 0.000_075, source: 'reported' },
        ]);
      });
    }

    it('keeps the length of an answer in one piece', async () => {
      const { post } = await setUp((_req, res) => void res.end(body));
      assert.equal((await post(question)).headers['content-length'], String(body.length));
    });

    it('calls back for every write and for the end', async () => {
      const called: string[] = [];
      const { post } = await setUp((_req, res) => {
        res.writeHead(200, eventStream);
        res.write('da', () => called.push('held back'));
        res.write('ta: 1\n\n', 'utf8', () => called.push('passed on'));
        res.write('', () => called.push('empty'));
        res.end(() => called.push('end'));
      });
      await post({ ...question, stream: true });
      await eventually(() => called.length === 4);
      assert.deepEqual(called.toSorted(), ['empty', 'end', 'held back', 'passed on']);
    });

    it('says what is wrong with a write after the end, and with a chunk that is none', async () => {
      const errors: unknown[] = [];
      const { post } = await setUp((_req, res) => {
        const attempt = (act: () => void) => {
          try {
            act();
          } catch (error) {
            errors.push((error as { code?: string }).code);
          }
        };
        attempt(() => res.write(5 as unknown as string));
        attempt(() => res.write(null));
        res.on('error', (error) => errors.push((error as { code?: string }).code));
        res.end('{}');
        res.write('more');
        res.end('more');
      });
      assert.equal(String((await post(question)).body), '{}');
      assert.deepEqual(errors.slice(0, 3), [
        'ERR_INVALID_ARG_TYPE',
        'ERR_STREAM_NULL_VALUES',
        'ERR_STREAM_WRITE_AFTER_END',
      ]);
    });

    it('lets a slow reader hold up the handler', async () => {
      const answers: boolean[] = [];
      let hasDrained = false;
      const { open } = await setUp((_req, res) => {
        res.writeHead(200, eventStream);
        const megabyte = Buffer.alloc(2 ** 20, 'x');
        for (let count = 0; count < 8; count += 1) answers.push(res.write(megabyte));
        res.once('drain', () => {
          hasDrained = true;
          res.end();
        });
      });
      const response = await open(question);
      assert.equal(answers.at(-1), false);
      assert.equal(hasDrained, false);
      const received = (await response.toArray()).reduce((sum: number, { length }: Buffer) => sum + length, 0);
      assert.deepEqual([received, hasDrained], [8 * 2 ** 20, true]);
    });

    it('without a body: 204 is charged its input, 304 gives everything back', async () => {
      let status = 204;
      const { post, usage, free } = await setUp((_req, res) => void res.status(status).end());
      assert.equal((await post(question)).body.length, 0);
      const [event] = await usage.until(1);
      assert.deepEqual([event?.outputTokens, event?.source], [0, 'partial']);
      const spend = await free();
      status = 304;
      assert.equal((await post(question)).status, 304);
      assert.equal(await free(), spend);
    });

    it('of routes without a model costs nothing, HEAD included', async () => {
      const { get, usage, free } = await setUp((_req, res) => void res.json({ id: 'resp_1' }));
      assert.equal(String((await get('/v1/responses/resp_1')).body), '{"id":"resp_1"}');
      assert.equal((await get('/v1/responses/resp_1', 'HEAD')).body.length, 0);
      const events = await usage.until(2);
      assert.deepEqual(events.map(charge)[0], {
        model: null,
        inputTokens: 0,
        outputTokens: 0,
        costUsd: 0,
        source: 'reported',
      });
      assert.equal(await free(), 0);
    });
  });

  describe('gives everything back', () => {
    const failing: readonly [title: string, handler: RequestHandler, status: number][] = [
      [
        'when the handler throws',
        () => {
          throw new Error('bug');
        },
        500,
      ],
      [
        'when the handler hands on an error',
        (_req, _res, next) => next(Object.assign(new Error('gone'), { status: 410 })),
        410,
      ],
      ['when nobody handles it', (_req, _res, next) => next(), 404],
      [
        'for the error of an upstream',
        (_req, res) => void res.status(429).json({ error: { message: 'slow down' } }),
        429,
      ],
      ['for an error that tells usage', (_req, res) => void res.status(500).json(chatAnswer('gpt-4o')), 500],
      ['for a redirection', (_req, res) => res.redirect('/elsewhere'), 302],
    ];
    for (const [title, handler, status] of failing) {
      it(title, async () => {
        const { post, usage, free } = await setUp(handler);
        assert.equal((await post(question)).status, status);
        assert.equal(await free(), 0);
        assert.equal((await post(question)).status, status);
        assert.deepEqual(usage.events, []);
      });
    }
  });

  describe('when the client leaves', () => {
    it('before the head, charges the input, and aborts the signal', async () => {
      const waiting = waitingHandler();
      const signals: AbortSignal[] = [];
      const { open, usage, free } = await setUp((req, res, next) => {
        signals.push(getLlm(req).signal);
        waiting.handler(req, res, next);
      });
      const left = leave(open(question));
      const [res] = await waiting.waiting(1);
      assert.equal(signals[0]?.aborted, false);
      res?.socket?.destroy();
      await left;
      const events = await usage.until(1);
      assert.deepEqual(events.map(charge), [
        { model: 'gpt-4o', inputTokens: questionTokens, outputTokens: 0, costUsd: 0.000_01, source: 'partial' },
      ]);
      assert.equal(signals[0]?.aborted, true);
      await free();
    });

    it('in the middle of a stream, charges once what was seen, and frees the slot', async () => {
      const waiting = waitingHandler();
      const { frames } = chatStreams[0] ?? { frames: [] };
      const { open, usage, free, post } = await setUp((req, res, next) => {
        if (req.body.stream !== true) return void answerChat(req, res, next);
        res.writeHead(200, eventStream);
        res.write(frames[0]);
        res.write(frames[1]?.slice(0, 20));
        waiting.handler(req, res, next);
      });
      const response = await open({ ...question, stream: true });
      await waiting.waiting(1);
      response.destroy();
      const events = await usage.until(1);
      assert.deepEqual(events.map(charge), [
        { model: 'gpt-4o', inputTokens: questionTokens, outputTokens: 1, costUsd: 0.000_02, source: 'partial' },
      ]);
      await free();
      assert.equal((await post(question)).status, 200);
      assert.equal((await usage.until(2)).length, 2);
    });

    it('after the end, charges what the answer told', async () => {
      const { open, usage, free } = await setUp(answerChat);
      const response = await open(question);
      response.destroy();
      assert.deepEqual(
        (await usage.until(1)).map(({ source }) => source),
        ['reported'],
      );
      await free();
    });

    it('aborts no signal of a request that was answered', async () => {
      const signals: AbortSignal[] = [];
      const { post, free } = await setUp((req, res, next) => {
        signals.push(getLlm(req).signal);
        answerChat(req, res, next);
      });
      await post(question);
      await free();
      assert.deepEqual(
        signals.map(({ aborted }) => aborted),
        [false],
      );
    });
  });

  describe('req.llm.record', () => {
    const recording =
      (...usages: UsageInput[]): RequestHandler =>
      (req, res, next) => {
        for (const usage of usages) getLlm(req).record(usage);
        answerChat(req, res, next);
      };

    it('has the last word over what the answer tells', async () => {
      const { post, usage } = await setUp(recording({ inputTokens: 1 }, { inputTokens: 2, outputTokens: 1 }));
      await post(question);
      assert.deepEqual((await usage.until(1)).map(charge), [
        { model: 'gpt-4o', inputTokens: 2, outputTokens: 1, costUsd: 0.000_015, source: 'reported' },
      ]);
    });

    it('may tell the cost itself, also of an answer that failed', async () => {
      const { post, free } = await setUp((req, res) => {
        getLlm(req).record({ inputTokens: 2, costUsd: 0.5 });
        res.status(502).end();
      });
      await post(question);
      assert.equal(await free(), 0.5);
    });

    const absurd: readonly UsageInput[] = [
      { inputTokens: -1 },
      { inputTokens: 1.5 },
      { outputTokens: Number.NaN },
      { outputTokens: Number.POSITIVE_INFINITY },
      { inputTokens: 1e10 },
      { costUsd: -1 },
      { costUsd: Number.POSITIVE_INFINITY },
      { inputTokens: 1, cacheReadTokens: 2 },
      { tokens: 5 } as UsageInput,
      null as unknown as UsageInput,
      'many' as unknown as UsageInput,
    ];
    for (const usageInput of absurd) {
      it(`is charged by the estimate, and told, where it says ${String(JSON.stringify(usageInput))}`, async () => {
        const { post, usage, free } = await setUp(recording(usageInput));
        assert.equal((await post(question)).status, 200);
        assert.deepEqual((await usage.until(1)).map(charge), [
          { model: 'gpt-4o', inputTokens: questionTokens, outputTokens: 40, costUsd: 0.000_41, source: 'estimated' },
        ]);
        assert.deepEqual(usage.problems, ['impossible_usage']);
        assert.equal(await free(), 0.000_41);
      });
    }
  });

  describe('readUsage', () => {
    const own: RequestHandler = (_req, res) => void res.json({ spent: { in: 7, out: 2 } });
    const read: RecordUsageOptions = {
      readUsage: (body) => {
        const { spent } = body as { spent: { in: number; out: number } };
        return { inputTokens: spent.in, outputTokens: spent.out };
      },
    };

    it('reads answers of a shape of their own, as they are sent', async () => {
      const { post, usage } = await setUp(own, { usage: read });
      assert.equal(String((await post(question)).body), '{"spent":{"in":7,"out":2}}');
      assert.deepEqual((await usage.until(1)).map(charge), [
        { model: 'gpt-4o', inputTokens: 7, outputTokens: 2, costUsd: 0.000_037_5, source: 'reported' },
      ]);
    });

    for (const [encoding, encode] of [
      ['gzip', gzipSync],
      ['deflate', deflateSync],
      ['br', brotliCompressSync],
    ] as const) {
      it(`reads answers that are compressed by ${encoding}`, async () => {
        const compressed: RequestHandler = (_req, res) => {
          res.set({ 'content-type': 'application/json', 'content-encoding': encoding });
          res.end(encode(JSON.stringify({ spent: { in: 7, out: 2 } })));
        };
        const { post, usage } = await setUp(compressed, { usage: read });
        await post(question);
        assert.equal((await usage.until(1))[0]?.costUsd, 0.000_037_5);
      });
    }

    it('leaves what it cannot read to the format of the route', async () => {
      const { post, usage } = await setUp(answerChat, { usage: read });
      await post(question);
      assert.equal((await usage.until(1))[0]?.costUsd, 0.000_075);
    });

    it('is told the request, and not asked about failures', async () => {
      const asked: unknown[] = [];
      const readUsage = (body: unknown, req: Request) => {
        asked.push([body, req.path]);
        return { inputTokens: 1_000_000 };
      };
      let status = 503;
      const { post, free } = await setUp((_req, res) => void res.status(status).json({ ok: false }), {
        usage: { readUsage },
      });
      await post(question);
      assert.equal(await free(), 0);
      status = 200;
      await post(question);
      assert.equal(await free(), 2.5);
      assert.deepEqual(asked, [[{ ok: false }, '/v1/chat/completions']]);
    });

    it('that answers nonsense is charged by the estimate, and told', async () => {
      const { post, usage } = await setUp(own, { usage: { readUsage: () => ({ inputTokens: -5 }) } });
      await post(question);
      assert.equal((await usage.until(1))[0]?.source, 'estimated');
      assert.deepEqual(usage.problems, ['impossible_usage']);
    });
  });

  describe('mounting', () => {
    it('absent, the estimate of a success is charged, and told', async () => {
      const { post, usage, free } = await setUp(answerChat, { usage: false });
      await post(question);
      assert.deepEqual((await usage.until(1)).map(charge), [
        { model: 'gpt-4o', inputTokens: questionTokens, outputTokens: 40, costUsd: 0.000_41, source: 'estimated' },
      ]);
      assert.deepEqual(usage.problems, ['unmetered']);
      await free();
    });

    it('absent, a failure gives everything back', async () => {
      const { post, usage, free } = await setUp((_req, res) => void res.status(500).end(), { usage: false });
      await post(question);
      assert.equal(await free(), 0);
      assert.deepEqual(usage.events, []);
    });

    it('twice charges once, and warns once', async () => {
      const { post, usage, log, free } = await setUp(answerChat, { after: recordUsage() });
      await post(question);
      await free();
      assert.deepEqual(usage.events.map(charge).length, 1);
      assert.deepEqual(log.lines, ['warn: recordUsage is mounted twice on one route; it acts once']);
    });

    it('behind a rateLimit that skips the request does nothing', async () => {
      const { post, usage } = await setUp(answerChat, { limit: { skip: () => true } });
      assert.equal((await post(question)).status, 200);
      assert.deepEqual(usage.events, []);
    });

    it('out of order is a TypeError that says the fix', async () => {
      const { keys } = testService();
      const { secret } = await createKey({ keys });
      const key = requireApiKey({ keys });
      const missing: readonly [RequestHandler[], string][] = [
        [[], 'requireApiKey'],
        [[key], 'requireModelAccess'],
        [[key, createApp.json(), requireModelAccess()], 'rateLimit'],
      ];
      for (const [before, name] of missing) {
        const server = await listen(
          createApp()
            .use(...before, recordUsage(), answerChat)
            .use(...lastResort()),
        );
        servers.push(server);
        const { status, body } = await exchange(`${server.url}/v1/chat/completions`, {
          json: question,
          headers: { 'x-api-key': secret },
        });
        const message = `TypeError: recordUsage: mount ${name} before it, on the same route`;
        assert.deepEqual([status, JSON.parse(String(body))], [500, { app: message }]);
      }
    });
  });

  it('is told in req.llm.usage what the call was charged for', async () => {
    const seen: unknown[] = [];
    const { post, free } = await setUp((req, res, next) => {
      res.once('close', () => seen.push(getLlm(req).usage));
      answerChat(req, res, next);
    });
    await post(question);
    await free();
    await eventually(() => seen.length === 1);
    assert.deepEqual(seen, [{ inputTokens: 10, outputTokens: 5, cacheReadTokens: 0, cacheWriteTokens: 0 }]);
  });
});

describe('recordUsage', () => {
  it('refuses options of no use when it is made', () => {
    const make = (options: object) => () => recordUsage(options as RecordUsageOptions);
    assert.throws(make({ injectusage: false }), {
      name: 'TypeError',
      message: 'recordUsage: there is no option "injectusage"; did you mean "injectUsage"?',
    });
    assert.throws(make({ readUsage: 'usage' }), { name: 'TypeError', message: /readUsage must be a function/ });
    assert.throws(make({ drainMs: -1 }), { name: 'TypeError', message: /drainMs must be/ });
    assert.equal(recordUsage().name, 'recordUsage');
  });
});

/** Waits for the failure of a request whose connection is cut. */
async function leave(response: Promise<unknown>): Promise<void> {
  await assert.rejects(response, /socket hang up|ECONNRESET/);
}
