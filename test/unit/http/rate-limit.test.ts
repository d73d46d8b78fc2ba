import assert from 'node:assert/strict';
import type { Request, RequestHandler, Response } from 'express';
import { getLlm } from '../../../lib/http/context.ts';
import { type RateLimitOptions, rateLimit } from '../../../lib/http/rate-limit.ts';
import { requireApiKey } from '../../../lib/http/require-api-key.ts';
import type { KeyInput } from '../../../lib/keys/key-input.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { priceBook } from '../../../lib/usage/pricing.ts';
import { type ChainOptions, chainedApp, lastResort, onEachExpress } from '../../support/apps.ts';
import { dialectRequests } from '../../support/dialects.ts';
import { eventually } from '../../support/eventually.ts';
import { exchange } from '../../support/exchange.ts';
import { answerChat, chatAnswer, waitingHandler } from '../../support/handlers.ts';
import { type Listening, listen } from '../../support/listen.ts';
import { createKey, testService, withoutNotices } from '../../support/service.ts';
import { usageLog } from '../../support/usage-events.ts';

const prices = priceBook({
  'gpt-4o': { inputPerMillion: 2.5, outputPerMillion: 10 },
  dear: { inputPerMillion: 100, outputPerMillion: 1000, maxOutputTokens: 50 },
  long: { inputPerMillion: 0, outputPerMillion: 1, maxOutputTokens: 100_000 },
});
const messages = [{ role: 'user', content: 'Hi' }];
/** Four bytes a token of "user" and "Hi". */
const messageTokens = 2;
const question = { model: 'gpt-4o', messages, max_completion_tokens: 8 };

onEachExpress('rateLimit', (createApp) => {
  const servers: Listening[] = [];
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((server) => server.close()));
  });

  interface SetUp extends ChainOptions {
    readonly service?: Parameters<typeof testService>[0];
  }

  async function setUp(fields: Partial<KeyInput>, handler = answerChat, { service, ...options }: SetUp = {}) {
    const made = testService({ prices, ...service });
    const { key, secret } = await createKey(made, fields);
    const server = await listen(chainedApp(createApp, made.keys, options, handler));
    servers.push(server);
    const post = async (
      json: object = question,
      path = '/v1/chat/completions',
      headers: Record<string, string> = {},
    ) => {
      const answer = await exchange(server.url + path, { json, headers: { 'x-api-key': secret, ...headers } });
      return { ...answer, json: JSON.parse(String(answer.body)) };
    };
    const balance = () => made.keys.balance(key.id);
    /** Once nothing is open any more. */
    const idle = () => eventually(async () => (await balance()).openRequests === 0, 'The end of all calls');
    return { ...made, key, secret, url: server.url, post, balance, idle };
  }

  const statuses = (answers: readonly { readonly status: number | undefined }[]) => answers.map(({ status }) => status);
  const times = <T>(count: number, act: () => Promise<T>) => Promise.all(Array.from({ length: count }, act));

  describe('limits', () => {
    it('admit exactly 10 of 15 concurrent requests at 10 a minute', async () => {
      const { post } = await setUp({ rpmLimit: 10 });
      const answers = await times(15, () => post());
      assert.deepEqual(statuses(answers).toSorted(), [...Array(10).fill(200), ...Array(5).fill(429)]);
    });

    it('admit exactly 50 of 1,000 concurrent requests of $0.10 under a budget of $5.00', async () => {
      const handler: RequestHandler = (req, res) => {
        getLlm(req).record({ costUsd: 0.1 });
        res.json({});
      };
      // 100 tokens of "dear" output cost $0.10.
      const estimate = () => ({ inputTokens: 0, outputTokens: 100 });
      const { post, balance, idle } = await setUp({ maxBudget: 5 }, handler, { limit: { estimate } });
      const answers = await times(1000, () => post({ model: 'dear', messages }));
      const admitted = answers.filter(({ status }) => status === 200);
      const refused = answers.filter(({ status, json }) => status === 429 && json.error.code === 'insufficient_quota');
      assert.deepEqual([admitted.length, refused.length], [50, 950]);
      await idle();
      const { spend, budgetRemaining } = await balance();
      assert.deepEqual([spend, budgetRemaining], [5, 0]);
    });

    it('let the next request in at exactly the time that was told', async () => {
      const { post, clock } = await setUp({ rpmLimit: 5 });
      for (let count = 0; count < 5; count += 1) {
        assert.equal((await post()).status, 200);
        clock.advance(2500);
      }
      const refused = await post();
      assert.equal(refused.status, 429);
      const waitMs = Number(refused.headers['retry-after-ms']);
      assert.equal(refused.headers['retry-after'], String(Math.ceil(waitMs / 1000)));
      clock.advance(waitMs - 1);
      assert.equal((await post()).status, 429);
      clock.advance(1);
      assert.equal((await post()).status, 200);
    });

    it('count what an answer took in place of its estimate', async () => {
      const usage = { prompt_tokens: 200, completion_tokens: 100, total_tokens: 300 };
      const { post, balance, idle } = await setUp(
        { tpmLimit: 350 },
        (_req, res) => void res.json(chatAnswer('m', usage)),
      );
      await post({ ...question, max_completion_tokens: 98 });
      await idle();
      assert.equal((await balance()).limits.find(({ name }) => name === 'tpm')?.used, 300);
      assert.equal((await post({ ...question, max_completion_tokens: 49 })).json.error.param, 'key:tpm');
      assert.equal((await post({ ...question, max_completion_tokens: 48 })).status, 200);
    });

    it('free a slot after an answer, an error and a client that left', async () => {
      const waiting = waitingHandler();
      let act: RequestHandler = waiting.handler;
      const { post, idle } = await setUp({ maxParallelRequests: 2 }, (req, res, next) => act(req, res, next));
      const open = [post(), post()];
      const [first] = await waiting.waiting(2);
      const third = await post();
      assert.deepEqual([third.status, third.json.error.code], [429, 'concurrency_limit_exceeded']);
      first?.socket?.destroy();
      const [left] = await Promise.allSettled(open.slice(0, 1));
      const other = left?.status === 'rejected' ? open[1] : open[0];
      act = () => {
        throw new Error('bug');
      };
      await eventually(async () => (await post()).status === 500, 'A free slot');
      assert.equal((await post()).status, 500);
      act = waiting.handler;
      waiting.release();
      await Promise.allSettled([other]);
      await idle();
      assert.deepEqual(statuses(await times(2, () => post())), [200, 200]);
    });

    it('refuse nothing where they are off for the key, and its requests are counted', async () => {
      const { post, keys, idle } = await setUp({ rpmLimit: 5, rateLimitEnabled: false });
      for (let count = 0; count < 20; count += 1) assert.equal((await post()).status, 200);
      await idle();
      assert.equal((await keys.usage({})).totals.requests, 20);
    });

    it('of a model leave other models alone', async () => {
      const { post } = await setUp({ rpmLimit: 20, modelRpmLimit: { 'gpt-4o': 5 } });
      for (let count = 0; count < 5; count += 1) assert.equal((await post()).status, 200);
      const refused = await post();
      assert.deepEqual([refused.status, refused.json.error.param], [429, 'key:model_rpm']);
      assert.equal((await post({ ...question, model: 'dear' })).status, 200);
    });

    it('that refuse take nothing, of any scope', async () => {
      const { post, keys, balance, idle } = await setUp({ teamId: 'red', rpmLimit: 10, maxBudget: 1 });
      await keys.setPolicy({ team: 'red' }, { rpmLimit: 1 });
      await post();
      await idle();
      const before = await balance();
      const refused = await post();
      assert.equal(refused.json.error.param, 'team:rpm');
      assert.equal(refused.json.error.message.includes('1 '), false);
      assert.deepEqual(await balance(), before);
    });

    it('let a call through whose budget is then overspent, and refuse the next one', async () => {
      const usage = { prompt_tokens: 100_000, completion_tokens: 26_000, total_tokens: 126_000 };
      const { post, idle, balance } = await setUp(
        { maxBudget: 0.5 },
        (_req, res) => void res.json(chatAnswer('gpt-4o', usage)),
      );
      assert.equal((await post()).status, 200);
      await idle();
      const { spend, budgetRemaining, budgetUtilization } = await balance();
      assert.deepEqual([spend, budgetRemaining, budgetUtilization], [0.51, 0, 102]);
      assert.deepEqual([(await post()).status, (await post()).json.error.param], [429, 'key:total_budget']);
    });
  });

  describe('changes of keys', () => {
    it('are in force for the next request, though the key was cached and no notice came', async () => {
      const store = memoryStore();
      const { post, key, clock } = await setUp({}, answerChat, { service: { store: withoutNotices(store) } });
      const elsewhere = testService({ store, clock, prices });
      assert.equal((await post()).status, 200);
      await elsewhere.keys.update(key.id, { models: ['other'] });
      assert.equal((await post()).json.error.code, 'model_not_allowed');
      // What was refused by a record of the cache stays refused as long as that may be used.
      clock.advance(10_000);
      await elsewhere.keys.update(key.id, { models: ['*'], permissions: { allowChatCompletions: false } });
      assert.equal((await post()).json.error.code, 'endpoint_not_permitted');
      clock.advance(10_000);
      await elsewhere.keys.update(key.id, { permissions: { allowChatCompletions: true } });
      assert.equal((await post()).status, 200);
      await elsewhere.keys.revoke(key.id);
      const refused = await post();
      assert.deepEqual([refused.status, refused.json.error.code], [401, 'api_key_revoked']);
      assert.equal(refused.headers['www-authenticate'], 'Bearer realm="llm", error="invalid_token"');
    });

    it('by rotation elsewhere end the old secret with its grace', async () => {
      const store = memoryStore();
      const { post, key, clock } = await setUp({}, answerChat, { service: { store: withoutNotices(store) } });
      const elsewhere = testService({ store, clock, prices });
      assert.equal((await post()).status, 200);
      const { secret } = await elsewhere.keys.rotate(key.id, { graceSeconds: 5 });
      const withNew = () => post(question, undefined, { 'x-api-key': secret });
      assert.deepEqual(statuses([await post(), await withNew()]), [200, 200]);
      clock.advance(5000);
      const old = await post();
      assert.deepEqual([old.status, old.json.error.code, (await withNew()).status], [401, 'invalid_api_key', 200]);
    });

    it('by a rotation without grace end the old secret at once', async () => {
      const store = memoryStore();
      const { post, key, clock } = await setUp({}, answerChat, { service: { store: withoutNotices(store) } });
      assert.equal((await post()).status, 200);
      await testService({ store, clock, prices }).keys.rotate(key.id);
      assert.equal((await post()).json.error.code, 'invalid_api_key');
    });
  });

  describe('headers', () => {
    it('tell how the tightest limits stand, by minute in the old ones', async () => {
      const { post } = await setUp({ rpmLimit: 60, rpdLimit: 10, tpmLimit: 1000 });
      assert.deepEqual(limitHeaders((await post()).headers), {
        'x-ratelimit-limit-requests': '10',
        'x-ratelimit-remaining-requests': '9',
        'x-ratelimit-reset-requests': '24h24m0s',
        'x-ratelimit-limit-tokens': '1000',
        'x-ratelimit-remaining-tokens': String(1000 - 8 - messageTokens),
        'x-ratelimit-reset-tokens': '1m1s',
        'x-ratelimit-limit-rpm': '60',
        'x-ratelimit-remaining-rpm': '59',
        'x-ratelimit-limit-tpm': '1000',
        'x-ratelimit-remaining-tpm': String(1000 - 8 - messageTokens),
      });
    });

    it('say unlimited where there are no limits', async () => {
      const { post } = await setUp({});
      assert.deepEqual(limitHeaders((await post()).headers), unlimited);
    });

    const byDialect = [
      [
        'openai',
        {
          'x-ratelimit-limit-requests': '2',
          'x-ratelimit-remaining-requests': '1',
          'x-ratelimit-reset-requests': '1m1s',
        },
      ],
      [
        'anthropic',
        {
          'anthropic-ratelimit-requests-limit': '2',
          'anthropic-ratelimit-requests-remaining': '1',
          'anthropic-ratelimit-requests-reset': '2025-06-15T12:01:01Z',
        },
      ],
      ['gemini', {}],
    ] as const;
    for (const [dialect, expected] of byDialect) {
      it(`are ${dialect}'s own on its routes, beside the old ones`, async () => {
        const asked = dialectRequests.find((one) => one.dialect === dialect);
        const { post } = await setUp({ rpmLimit: 2 });
        const { headers } = await post(asked?.body('gpt-4o', 8) ?? {}, asked?.path('gpt-4o'));
        assert.deepEqual(limitHeaders(headers), {
          ...expected,
          ...unlimited,
          'x-ratelimit-limit-rpm': '2',
          'x-ratelimit-remaining-rpm': '1',
        });
      });
    }

    it('are of the families that the option names', async () => {
      const { post } = await setUp({ rpmLimit: 2 }, answerChat, { limit: { headers: ['ietf'] } });
      const { headers } = await post(question, undefined, { origin: 'https://app.test' });
      assert.deepEqual(limitHeaders(headers), {
        'ratelimit-policy': '"requests";q=2;w=60',
        ratelimit: '"requests";r=1;t=61',
      });
      assert.match(headers['access-control-expose-headers'] ?? '', /, RateLimit-Policy, RateLimit$/);
    });

    it('are all told to browsers', async () => {
      const { post } = await setUp({ rpmLimit: 1 });
      const ask = () => post(question, undefined, { origin: 'https://app.test' });
      for (const { headers } of [await ask(), await ask()]) {
        const exposed = headers['access-control-expose-headers']?.toLowerCase().split(', ') ?? [];
        const ours = Object.keys(headers).filter((name) =>
          /^(x-ratelimit-|x-request-id|request-id|retry-after)/.test(name),
        );
        assert.deepEqual(
          ours.filter((name) => !exposed.includes(name)),
          [],
        );
      }
    });

    it('are exposed to nobody but browsers', async () => {
      const { post } = await setUp({ rpmLimit: 2 });
      const { headers } = await post();
      assert.deepEqual(
        [headers['x-ratelimit-limit-requests'], headers['access-control-expose-headers']],
        ['2', undefined],
      );
    });

    it('come with refusals too, and never go below 0', async () => {
      const { post, keys, key } = await setUp({ rpmLimit: 3 });
      await times(3, () => post());
      await keys.update(key.id, { rpmLimit: 1 });
      const { status, headers } = await post();
      assert.deepEqual(
        [
          status,
          headers['x-ratelimit-limit-requests'],
          headers['x-ratelimit-remaining-requests'],
          headers['x-ratelimit-remaining-rpm'],
        ],
        [429, '1', '0', '0'],
      );
    });

    const upstreamHeaders: Record<string, string> = {
      'x-ratelimit-limit-requests': '10000',
      'x-ratelimit-remaining-requests': '9999',
      'X-RateLimit-Reset-Requests': '6ms',
      'x-ratelimit-limit-tokens': '30000000',
      'x-ratelimit-remaining-project-tokens': '29999999',
      'anthropic-ratelimit-input-tokens-remaining': '5',
      'anthropic-ratelimit-unified-reset': '5',
      'ratelimit-limit': '7',
      'x-request-id': 'req_of_the_upstream',
      'request-id': 'req_of_the_upstream',
      'access-control-expose-headers': 'X-Upstream',
    };
    const passing: readonly [how: string, pass: (res: Response) => unknown][] = [
      [
        'setHeader',
        (res) => {
          for (const [name, value] of Object.entries(upstreamHeaders)) res.setHeader(name, value);
        },
      ],
      ['writeHead', (res) => res.writeHead(200, upstreamHeaders)],
      ['writeHead with a reason', (res) => res.writeHead(200, 'Fine', upstreamHeaders)],
      ['writeHead with a list', (res) => res.writeHead(200, Object.entries(upstreamHeaders).flat())],
      ['writeHead without a reason', (res) => res.writeHead(200, undefined, upstreamHeaders)],
    ];
    for (const [how, pass] of passing) {
      it(`win over those of an upstream that come through ${how}`, async () => {
        const { post } = await setUp({ rpmLimit: 2 }, (_req, res) => {
          pass(res);
          res.end('{}');
        });
        const asking = { 'x-request-id': 'mine', origin: 'https://app.test' };
        const { headers, status } = await post(question, undefined, asking);
        assert.equal(status, 200);
        assert.deepEqual(limitHeaders(headers), {
          'x-ratelimit-limit-requests': '2',
          'x-ratelimit-remaining-requests': '1',
          'x-ratelimit-reset-requests': '1m1s',
          ...unlimited,
          'x-ratelimit-limit-rpm': '2',
          'x-ratelimit-remaining-rpm': '1',
          'ratelimit-limit': '7',
        });
        assert.deepEqual([headers['x-request-id'], headers['request-id']], ['mine', 'mine']);
        assert.match(
          headers['access-control-expose-headers'] ?? '',
          /^X-Upstream, x-request-id, .*X-RateLimit-Remaining-TPM$/,
        );
      });
    }

    it('of another limiter of the app stay', async () => {
      const { post } = await setUp({}, (_req, res) => {
        res.setHeader('X-RateLimit-Limit', '100');
        res.setHeader('RateLimit-Reset', '10');
        res.json({});
      });
      const { headers } = await post();
      assert.deepEqual([headers['x-ratelimit-limit'], headers['ratelimit-reset']], ['100', '10']);
    });
  });

  describe('estimates', () => {
    async function heldFor(fields: Partial<KeyInput>, body: object, options: SetUp = {}, path?: string) {
      const waiting = waitingHandler();
      const bodies: unknown[] = [];
      const observe: RequestHandler = (req, res, next) => {
        bodies.push(req.body);
        waiting.handler(req, res, next);
      };
      const { post, balance } = await setUp({ tpmLimit: 1_000_000, ...fields }, observe, options);
      const answer = post(body, path);
      await waiting.waiting(1);
      const { held, limits } = await balance();
      waiting.release();
      await answer;
      return { held, tokens: limits.find(({ name }) => name === 'tpm')?.used, body: bodies[0] };
    }

    it('take the input by its bytes and the output by its cap', async () => {
      const { held, tokens, body } = await heldFor({ maxBudget: 1 }, question);
      assert.deepEqual([held, tokens, body], [0.000_085, 10, question]);
    });

    it('take the longest output of the model where there is no cap, at most 16,384 tokens', async () => {
      assert.equal((await heldFor({ maxBudget: 1 }, { model: 'dear', messages })).held, 0.0502);
      assert.equal((await heldFor({ maxBudget: 1 }, { model: 'long', messages })).held, 0.016_384);
    });

    it('take the dearest of all models that may answer', async () => {
      const { held } = await heldFor({ maxBudget: 1 }, { ...question, fallbacks: ['dear'] });
      assert.equal(held, 0.0082);
    });

    it('take every answer that is asked for', async () => {
      assert.equal((await heldFor({}, { ...question, n: 3 })).tokens, 8 * 3 + messageTokens);
    });

    it('are those of the option, in part or whole', async () => {
      const limit = (estimate: RateLimitOptions['estimate']) => ({ limit: { estimate } });
      assert.equal(
        (
          await heldFor(
            {},
            question,
            limit(() => ({ inputTokens: 1000 })),
          )
        ).tokens,
        1008,
      );
      assert.equal(
        (
          await heldFor(
            {},
            question,
            limit(async () => ({ outputTokens: 1 })),
          )
        ).tokens,
        1 + messageTokens,
      );
      assert.equal(
        (
          await heldFor(
            {},
            question,
            limit(() => ({ inputTokens: 0, outputTokens: 0 })),
          )
        ).tokens,
        1,
      );
    });

    it('may be one number of tokens, which cost what the dearer kind does', async () => {
      const told = await heldFor({}, question, { limit: { estimate: () => 1000 } });
      assert.deepEqual([told.tokens, told.held], [1000, 0.01]);
    });

    it('may tell the cost, or nothing at all', async () => {
      assert.equal((await heldFor({}, question, { limit: { estimate: () => ({ costUsd: 0.25 }) } })).held, 0.25);
      assert.equal((await heldFor({}, question, { limit: { estimate: () => undefined } })).tokens, 8 + messageTokens);
    });

    it('of the option with fields that there are not are an error of the app', async () => {
      const estimate = (() => ({ inputToken: 5 })) as RateLimitOptions['estimate'];
      const { post } = await setUp({}, answerChat, { limit: { estimate } });
      assert.match((await post()).json.app, /^TypeError: rateLimit: estimate: .*did you mean "inputTokens"/);
    });

    for (const absurd of [{ inputTokens: -1 }, { outputTokens: 1.5 }, { inputTokens: Number.NaN }]) {
      it(`of the option that say ${JSON.stringify(absurd)} are an error of the app`, async () => {
        const { post, balance } = await setUp({}, answerChat, { limit: { estimate: () => absurd } });
        const { status, json } = await post();
        assert.equal(status, 500);
        assert.match(json.app, /^TypeError: rateLimit: estimate must answer whole numbers of tokens/);
        assert.equal((await balance()).openRequests, 0);
      });
    }

    it('write the default cap into a body that has none, for each of its answers', async () => {
      const { tokens, body } = await heldFor(
        {},
        { model: 'gpt-4o', messages, n: 2 },
        { service: { defaultOutputCap: 100 } },
      );
      assert.equal(tokens, 200 + messageTokens);
      assert.deepEqual(body, { model: 'gpt-4o', messages, n: 2, max_completion_tokens: 100 });
    });

    it('leave a cap of the body where there is a default one', async () => {
      const { tokens, body } = await heldFor({}, question, { service: { defaultOutputCap: 100 } });
      assert.deepEqual([tokens, body], [10, question]);
    });

    it('are 0 dollars for calls without a model, under a budget of 0 too', async () => {
      const { url, secret } = await setUp({ maxBudget: 0 });
      const answer = await exchange(`${url}/v1/models`, { method: 'GET', headers: { 'x-api-key': secret } });
      assert.equal(answer.status, 200);
    });
  });

  describe('clamp', () => {
    const clamped = async (
      fields: Partial<KeyInput>,
      body: object,
      clamp: RateLimitOptions['clamp'],
      path?: string,
    ) => {
      const bodies: unknown[] = [];
      const setup = await setUp(
        fields,
        (req, res, next) => {
          bodies.push(req.body);
          answerChat(req, res, next);
        },
        { limit: { clamp } },
      );
      const { status, json } = await setup.post(body, path);
      return { status, json, body: bodies[0] };
    };

    it('lowers the cap in the body to what the budget still pays for', async () => {
      // 2 tokens of input cost $0.0002, and each of output $0.001.
      const { status, body } = await clamped({ maxBudget: 0.0102 }, { model: 'dear', messages, max_tokens: 40 }, true);
      assert.deepEqual([status, body], [200, { model: 'dear', messages, max_tokens: 10 }]);
    });

    it('lowers the cap to the tokens that are left', async () => {
      const { body } = await clamped({ tpmLimit: 20 }, { ...question, max_completion_tokens: 500 }, true);
      assert.deepEqual(body, { ...question, max_completion_tokens: 20 - messageTokens });
    });

    it('shares what is left among the answers', async () => {
      const { body } = await clamped({ tpmLimit: 23 }, { ...question, n: 4 }, true);
      assert.deepEqual(body, { ...question, n: 4, max_completion_tokens: 5 });
    });

    it('leaves a cap that fits', async () => {
      assert.deepEqual((await clamped({ tpmLimit: 20 }, question, true)).body, question);
    });

    it('refuses where less is left than the least output', async () => {
      const clamp = { minOutputTokens: 19 };
      const { status, json } = await clamped({ tpmLimit: 20 }, { ...question, max_completion_tokens: 500 }, clamp);
      assert.deepEqual([status, json.error.code], [413, 'request_too_large']);
    });

    const caps: readonly [path: string, body: object, expected: object][] = [
      ['/v1/responses', { model: 'gpt-4o', input: 'user Hi', max_output_tokens: 99 }, { max_output_tokens: 18 }],
      ['/v1/completions', { model: 'gpt-4o', prompt: 'user Hi' }, { max_tokens: 18 }],
      ['/v1/messages', { model: 'gpt-4o', messages, max_tokens: 99 }, { max_tokens: 18 }],
      [
        '/v1beta/models/gpt-4o:generateContent',
        { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }], generationConfig: { topK: 1 } },
        { generationConfig: { topK: 1, maxOutputTokens: 18 } },
      ],
    ];
    for (const [path, given, expected] of caps) {
      it(`writes the cap of ${path}`, async () => {
        const { status, body } = await clamped({ tpmLimit: 20 }, given, true, path);
        assert.deepEqual([status, body], [200, { ...given, ...expected }]);
      });
    }
  });

  it('gives back all when the client left while the ledger was asked', async () => {
    const working = memoryStore();
    const gate = { open: () => {} };
    const calls: string[] = [];
    const asked = new Promise<void>((resolve) => {
      gate.open = resolve;
    });
    let isWaiting = false;
    const store = {
      ...working,
      admit: async (request: Parameters<typeof working.admit>[0]) => {
        isWaiting = true;
        await asked;
        return working.admit(request);
      },
    };
    const responses: (Response | undefined)[] = [];
    const skip = ({ res }: Request) => responses.push(res) === 0;
    const handler: RequestHandler = () => void calls.push('handled');
    const setup = await setUp({ maxParallelRequests: 1 }, handler, { service: { store }, limit: { skip } });
    const controller = new AbortController();
    const answer = fetch(`${setup.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'x-api-key': setup.secret, 'content-type': 'application/json' },
      body: JSON.stringify(question),
      signal: controller.signal,
    });
    await eventually(() => isWaiting);
    controller.abort();
    await assert.rejects(answer, { name: 'AbortError' });
    await eventually(() => responses[0]?.closed === true);
    gate.open();
    await setup.idle();
    assert.deepEqual([calls, (await setup.balance()).spend], [[], 0]);
  });

  it('skips what the option says, and tells no standing', async () => {
    const { post } = await setUp({ rpmLimit: 0 }, answerChat, {
      limit: { skip: (req) => req.path.startsWith('/v1/') },
    });
    const { status, headers } = await post();
    assert.deepEqual([status, limitHeaders(headers)], [200, {}]);
  });

  it('mounted twice acts once, and warns once', async () => {
    const second = rateLimit();
    const { post, log } = await setUp({ rpmLimit: 2 }, (req, res, next) =>
      second(req, res, (error) => (error ? next(error) : answerChat(req, res, next))),
    );
    assert.equal((await post()).headers['x-ratelimit-remaining-requests'], '1');
    assert.deepEqual(log.lines, ['warn: rateLimit is mounted twice on one route; it acts once']);
  });

  it('out of order is a TypeError that says the fix', async () => {
    const { keys } = testService();
    const { secret } = await createKey({ keys });
    for (const [before, name] of [
      [[], 'requireApiKey'],
      [[requireApiKey({ keys })], 'requireModelAccess'],
    ] as const) {
      const server = await listen(
        createApp()
          .use(...before, rateLimit(), answerChat)
          .use(...lastResort()),
      );
      servers.push(server);
      const { body } = await exchange(server.url, { json: question, headers: { 'x-api-key': secret } });
      const message = `TypeError: rateLimit: mount ${name} before it, on the same route`;
      assert.deepEqual(JSON.parse(String(body)), { app: message });
    }
  });

  it('tells estimates of failed admissions nowhere in the usage record', async () => {
    const { post, keys } = await setUp({ rpmLimit: 0 });
    const usage = usageLog(keys);
    await post();
    assert.deepEqual([usage.events, (await keys.usage({})).totals.requests], [[], 0]);
  });
});

describe('rateLimit', () => {
  it('refuses options of no use when it is made', () => {
    const make = (options: object) => () => rateLimit(options as RateLimitOptions);
    assert.throws(make({ budgetstatus: 402 }), {
      name: 'TypeError',
      message: 'rateLimit: there is no option "budgetstatus"; did you mean "budgetStatus"?',
    });
    const useless: readonly [object, RegExp][] = [
      [{ budgetStatus: 403 }, /budgetStatus must be 429 or 402/],
      [{ headers: ['draft-8'] }, /headers must be a list of openai, anthropic, ietf, legacy/],
      [{ headers: 'openai' }, /headers must be a list/],
      [{ estimate: 5 }, /estimate must be a function/],
      [{ skip: ['/x'] }, /skip must be a function/],
      [{ clamp: false }, /clamp must be true/],
      [{ clamp: { minOutputTokens: 0 } }, /clamp must be true/],
      [{ clamp: { minimum: 5 } }, /clamp: there is no option "minimum"/],
      [{ clamp: null }, /clamp must be true/],
    ];
    for (const [options, message] of useless) assert.throws(make(options), { name: 'TypeError', message });
    assert.equal(rateLimit().name, 'rateLimit');
  });
});

const unlimited = {
  'x-ratelimit-limit-rpm': 'unlimited',
  'x-ratelimit-remaining-rpm': 'unlimited',
  'x-ratelimit-limit-tpm': 'unlimited',
  'x-ratelimit-remaining-tpm': 'unlimited',
};

function limitHeaders(headers: NodeJS.Dict<string | string[]>) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.includes('ratelimit')));
}
