import assert from 'node:assert/strict';
import type { RequestHandler } from 'express';
import { getLlm } from '../../../lib/http/context.ts';
import { type RateLimitOptions, rateLimit } from '../../../lib/http/rate-limit.ts';
import type { RequireApiKeyOptions } from '../../../lib/http/require-api-key.ts';
import type { KeyEventName } from '../../../lib/keys/events.ts';
import type { KeyInput } from '../../../lib/keys/key-input.ts';
import { createEchoModel } from '../../../lib/testing/echo-model/echo-model.ts';
import { priceBook } from '../../../lib/usage/pricing.ts';
import { chainedApp, onEachExpress } from '../../support/apps.ts';
import { eventually } from '../../support/eventually.ts';
import { faultyStore } from '../../support/faulty-store.ts';
import { answerChat, waitingHandler } from '../../support/handlers.ts';
import { type Listening, listen } from '../../support/listen.ts';
import { createKey, storeWith, testService } from '../../support/service.ts';

/** A call that answers chatAnswer() costs $1.00. */
const prices = priceBook({ 'gpt-4o': { inputPerMillion: 50_000, outputPerMillion: 100_000 } });
const question = { model: 'gpt-4o', messages: [{ role: 'user', content: 'Hi' }], max_completion_tokens: 8 };
const defaultCacheMs = 10_000;
const admit = { onStoreError: 'admit' } as const;

interface SetUp {
  readonly limit?: RateLimitOptions;
  readonly access?: Omit<RequireApiKeyOptions, 'keys'>;
  readonly cacheMs?: number;
  readonly handler?: RequestHandler;
}

onEachExpress('While the store is down', (createApp) => {
  const opened: { close(): Promise<unknown> }[] = [];
  afterEach(async () => {
    for (const { close } of opened.splice(0)) await close();
  });

  async function setUp(fields: Partial<KeyInput> = {}, options: SetUp = {}) {
    const { limit = {}, access = {}, cacheMs = defaultCacheMs, handler = answerChat } = options;
    const faulty = faultyStore();
    let missChanges = () => {};
    const store = storeWith(faulty.store, {
      open(environment) {
        missChanges = () => environment.onNotice({ type: 'missed' });
        return faulty.store.open(environment);
      },
    });
    const made = testService({ store, prices, cacheMs, storeTimeoutMs: 20 });
    const { key, secret } = await createKey(made, fields);
    const server: Listening = await listen(chainedApp(createApp, made.keys, { limit, key: access }, handler));
    opened.push(server);
    const post = async (apiKey = secret) => {
      const answer = await fetch(`${server.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': apiKey },
        body: JSON.stringify(question),
      });
      const json = (await answer.json()) as { error?: { code: string; param: string | null } };
      return { status: answer.status, code: json.error?.code, param: json.error?.param, headers: answer.headers };
    };
    const outcome = async (apiKey = secret) => {
      const { status, param } = await post(apiKey);
      return param === undefined || param === null ? status : `${status} ${param}`;
    };
    const outcomes = async (count: number, apiKey = secret) => {
      const all: (number | string)[] = [];
      for (let n = 0; n < count; n += 1) all.push(await outcome(apiKey));
      return all;
    };
    const heard: string[] = [];
    for (const name of ['store.down', 'store.up', 'usage.lost', 'hold.lost'] satisfies KeyEventName[]) {
      made.keys.on(name, () => heard.push(name));
    }
    const usage = async () => (await faulty.store.usageEvents(null, 100)).events;
    /** The store answers again, and has heard of all that waited for it. */
    const recover = async () => {
      faulty.mend();
      await made.keys.close();
    };
    const told = { outcome, outcomes, heard, usage };
    return {
      ...made,
      ...faulty,
      key,
      secret,
      url: server.url,
      post,
      ...told,
      recover,
      missChanges: () => missChanges(),
    };
  }

  const refused503 = { status: 503, code: 'store_unavailable' };
  const statusAndCode = ({ status, code }: { status: number; code: string | undefined }) => ({ status, code });

  describe("rateLimit with onStoreError 'deny'", () => {
    for (const fault of ['fail', 'hang', 'lose_reply'] as const) {
      it(`refuses with 503 when the store does ${fault}, holds nothing afterwards, and goes on when it is back`, async () => {
        const { break: breakStore, post, outcome, recover, keys, key, usage } = await setUp();
        await outcome();
        breakStore(fault, 'admit');
        const answer = await post();
        assert.deepEqual(statusAndCode(answer), refused503);
        assert.equal(answer.headers.get('retry-after'), '1');
        await recover();
        const { openRequests, held, spend } = await keys.balance(key.id);
        assert.deepEqual([openRequests, held, spend], [0, 0, 1]);
        assert.equal((await usage()).length, 1);
        assert.equal(await outcome(), 200);
      });
    }

    it('tells once that the store is down and once that it is up, and health() shows it', async () => {
      const { break: breakStore, mend, keys, outcomes, heard, clock, log } = await setUp();
      const reasons: unknown[] = [];
      keys.on('store.down', (event) => reasons.push(event));
      await outcomes(1);
      breakStore('fail');
      await outcomes(7);
      assert.deepEqual(await keys.health(), { store: { name: 'memory', state: 'down' } });
      assert.deepEqual(heard, ['store.down']);
      assert.deepEqual(reasons, [{ store: 'memory', reason: 'connect ECONNREFUSED at admit' }]);
      mend();
      clock.advance(250);
      assert.deepEqual(await outcomes(2), [200, 200]);
      assert.deepEqual(await keys.health(), { store: { name: 'memory', state: 'up' } });
      assert.deepEqual(heard, ['store.down', 'store.up']);
      assert.deepEqual(log.lines, [
        'error: The store "memory" does not answer: connect ECONNREFUSED at admit',
        'warn: The store "memory" answers again',
      ]);
    });

    it('shows in health() a store that answers pings and nothing else', async () => {
      const { break: breakStore, keys, outcomes } = await setUp();
      await outcomes(1);
      breakStore('fail', 'admit', 'cancel');
      await outcomes(5);
      assert.equal((await keys.health()).store.state, 'down');
    });

    it('asks a dead store by one admission each 250 ms', async () => {
      const { break: breakStore, outcomes, failed, clock } = await setUp();
      await outcomes(1);
      breakStore('fail', 'admit', 'cancel');
      await outcomes(20);
      const asked = () => failed.filter((method) => method === 'admit').length;
      assert.equal(asked(), 3);
      clock.advance(250);
      await outcomes(20);
      assert.equal(asked(), 4);
    });

    it('does not know keys past cacheMs', async () => {
      const { break: breakStore, post, clock } = await setUp();
      await post();
      breakStore('fail', 'findKey', 'findKeyByHash', 'findPolicy');
      clock.advance(defaultCacheMs);
      assert.deepEqual(statusAndCode(await post()), refused503);
    });
  });

  describe("rateLimit with onStoreError 'admit'", () => {
    for (const fault of ['fail', 'hang', 'lose_reply'] as const) {
      it(`serves a key that it knows, also past cacheMs, and charges each call once when the store did ${fault}`, async () => {
        const {
          break: breakStore,
          outcomes,
          recover,
          keys,
          key,
          usage,
          clock,
          heard,
          log,
        } = await setUp({}, { limit: admit });
        await outcomes(1);
        breakStore(fault);
        clock.advance(defaultCacheMs * 3);
        assert.deepEqual(await outcomes(3), [200, 200, 200]);
        await recover();
        const { spend, held, openRequests } = await keys.balance(key.id);
        assert.deepEqual({ spend, held, openRequests }, { spend: 4, held: 0, openRequests: 0 });
        const sources = (await usage()).map(({ source, costNanoUsd }) => `${source} ${costNanoUsd / 1e9}`);
        assert.deepEqual(sources, ['reported 1', 'lost_hold 1', 'lost_hold 1', 'lost_hold 1']);
        assert.deepEqual(heard, ['store.down', 'store.up']);
        assert.equal(log.lines.length, 2, log.lines.join('\n'));
      });
    }

    it('serves a key that it knows although it may have missed changes since', async () => {
      const { break: breakStore, outcome, missChanges } = await setUp({}, { limit: admit });
      assert.equal(await outcome(), 200);
      breakStore('fail');
      missChanges();
      assert.equal(await outcome(), 200);
    });

    it('has no answer but 503 for a key that it does not know, or has read too long ago', async () => {
      const { keys, break: breakStore, outcome, outcomes, clock } = await setUp({}, { limit: admit });
      const stranger = await keys.create({ name: 'Stranger', models: ['*'] });
      await outcomes(1);
      breakStore('fail');
      assert.equal(await outcome(stranger.secret), 503);
      clock.advance(59_999);
      // The outage is counted from its first failure, the record's age from when it was read.
      assert.equal(await outcome(), 200);
      clock.advance(1);
      assert.equal(await outcome(), 503);
    });

    it('does not know the key without the store where requireApiKey asks for fresh records', async () => {
      const { break: breakStore, outcomes } = await setUp({}, { limit: admit, access: { fresh: true } });
      await outcomes(1);
      breakStore('fail');
      assert.deepEqual(await outcomes(1), [503]);
    });

    it('refuses when the outage lasts longer than maxOutageMs, though the key was read late', async () => {
      const limit = { ...admit, maxOutageMs: 5000 };
      const { break: breakStore, outcomes, clock } = await setUp({}, { limit, cacheMs: 3_600_000 });
      await outcomes(1);
      clock.advance(60_000);
      breakStore('fail', 'admit', 'cancel', 'settle');
      assert.deepEqual(await outcomes(1), [200]);
      clock.advance(4999);
      assert.deepEqual(await outcomes(1), [200]);
      clock.advance(1);
      assert.deepEqual(await outcomes(1), [503]);
    });

    it('refuses what was revoked, disabled or expired as far as it knows', async () => {
      const {
        keys,
        key,
        break: breakStore,
        outcomes,
        clock,
      } = await setUp({ expiresAt: Date.UTC(2025, 5, 15, 12, 0, 30) }, { limit: admit });
      await outcomes(1);
      breakStore('fail');
      clock.advance(29_999);
      assert.deepEqual(await outcomes(1), [200]);
      clock.advance(1);
      assert.deepEqual(await outcomes(1), [401]);
      await assert.rejects(keys.revoke(key.id), { code: 'store_unavailable' });
    });

    it('decides against what was left when the store last told, and what it admitted since', async () => {
      const { keys, break: breakStore, outcomes } = await setUp({ teamId: 'red', rpmLimit: 5 }, { limit: admit });
      const other = await keys.create({ name: 'Other', models: ['*'], teamId: 'red' });
      await keys.setPolicy({ team: 'red' }, { maxBudget: 6 });
      await outcomes(1);
      await outcomes(1, other.secret);
      breakStore('fail');
      // Each costs $1.00 of the team's $6.00 when it has ended, and $0.90 while it is held.
      assert.deepEqual(await outcomes(2, other.secret), [200, 200]);
      assert.deepEqual(await outcomes(3), [200, 200, '429 team:total_budget']);
    });

    it('never serves under a limit of 0, and not under a limit that it has not seen', async () => {
      const { keys, key, break: breakStore, outcomes } = await setUp({}, { limit: admit });
      await outcomes(1);
      await keys.update(key.id, { rpmLimit: 0 });
      assert.deepEqual(await outcomes(1), ['429 key:rpm']);
      breakStore('fail', 'admit', 'cancel');
      assert.deepEqual(await outcomes(1), ['429 key:rpm']);
      await keys.update(key.id, { rpmLimit: null, tpmLimit: 100 });
      assert.deepEqual(await outcomes(1), [503]);
    });

    it('gives slots back as its own calls end', async () => {
      const waiting = waitingHandler();
      const {
        break: breakStore,
        outcome,
        outcomes,
      } = await setUp(
        { maxParallelRequests: 1 },
        { limit: admit, handler: (req, res, next) => (isWaiting ? waiting.handler : answerChat)(req, res, next) },
      );
      let isWaiting = false;
      await outcomes(1);
      breakStore('fail');
      isWaiting = true;
      const held = outcome();
      await waiting.waiting(1);
      isWaiting = false;
      assert.equal(await outcome(), '429 key:parallel');
      waiting.release();
      assert.equal(await held, 200);
      assert.equal(await outcome(), 200);
    });

    it('gives back what a call held that was no success, and tells the store nothing of it', async () => {
      let status = 200;
      const handler: RequestHandler = (req, res, next) => {
        if (status === 200) answerChat(req, res, next);
        else res.status(status).json({});
      };
      const {
        break: breakStore,
        outcomes,
        recover,
        usage,
      } = await setUp({ maxBudget: 2.5 }, { limit: admit, handler });
      await outcomes(1);
      breakStore('fail', 'admit', 'cancel');
      status = 500;
      assert.deepEqual(await outcomes(3), [500, 500, 500]);
      status = 200;
      assert.deepEqual(await outcomes(2), [200, '429 key:total_budget']);
      await recover();
      assert.equal((await usage()).length, 2);
    });

    it('holds and charges the calls of a handler through req.llm.fetch, each once', async () => {
      const model = await listen(createEchoModel());
      opened.push(model);
      const handler: RequestHandler = async (req, res) => {
        const ask = () =>
          getLlm(req).fetch(`${model.url}/v1/chat/completions`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify(question),
          });
        const answers = [await ask(), await ask()];
        for (const answer of answers) await answer.text();
        res.json({ statuses: answers.map(({ status }) => status) });
      };
      const {
        break: breakStore,
        outcomes,
        recover,
        keys,
        key,
        usage,
      } = await setUp({ maxBudget: 50 }, { limit: admit, handler });
      await outcomes(1);
      const before = (await usage()).length;
      breakStore('fail', 'admit', 'extend', 'settle', 'cancel', 'renew');
      assert.deepEqual(await outcomes(1), [200]);
      await recover();
      const events = (await usage()).slice(before);
      assert.deepEqual(
        events.map(({ source }) => source),
        ['lost_hold', 'lost_hold'],
      );
      const { openRequests, held } = await keys.balance(key.id);
      assert.deepEqual([openRequests, held], [0, 0]);
    });

    it('tells what could not be charged, with all that it takes to record it by hand', async () => {
      const { break: breakStore, outcomes, keys, key, clock } = await setUp({}, { limit: admit });
      const lost: object[] = [];
      keys.on('usage.lost', ({ keyId, model, inputTokens, outputTokens, costUsd }) => {
        lost.push({ keyId, model, inputTokens, outputTokens, costUsd });
      });
      await outcomes(1);
      breakStore('fail');
      await outcomes(1);
      clock.advance(10 * 60_000);
      await eventually(() => lost.length > 0, 'The loss');
      assert.deepEqual(lost, [{ keyId: key.id, model: 'gpt-4o', inputTokens: 10, outputTokens: 5, costUsd: 1 }]);
    });
  });

  it('charges once, when the store is back, a call that was admitted before and ended meanwhile', async () => {
    for (const fault of ['fail', 'lose_reply', 'hang'] as const) {
      const waiting = waitingHandler();
      const {
        break: breakStore,
        failed,
        outcome,
        recover,
        keys,
        key,
        usage,
      } = await setUp({}, { handler: waiting.handler });
      const answered = outcome();
      await waiting.waiting(1);
      breakStore(fault, 'settle');
      waiting.release();
      assert.equal(await answered, 200);
      await eventually(() => failed.includes('settle'), 'The settlement');
      await recover();
      const { spend, openRequests } = await keys.balance(key.id);
      assert.deepEqual([spend, openRequests, (await usage()).length], [1, 0, 1]);
    }
  });
});

describe('rateLimit', () => {
  it('takes no onStoreError and no maxOutageMs that mean nothing', () => {
    for (const [options, message] of [
      [{ onStoreError: 'allow' }, /onStoreError must be 'deny' or 'admit'/],
      [{ onStoreError: 'admit', maxOutageMs: 0 }, /maxOutageMs must be a whole number from 1 to 600000/],
      [{ onStoreError: 'admit', maxOutageMs: 600_001 }, /maxOutageMs/],
      [{ onStoreError: 'admit', maxOutageMs: '60' }, /maxOutageMs/],
    ] as const) {
      assert.throws(() => rateLimit(options as RateLimitOptions), { name: 'TypeError', message });
    }
  });
});
