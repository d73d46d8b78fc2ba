import assert from 'node:assert/strict';
import { Redis } from 'ioredis';
import { type Limits, noLimits, type ScopeId } from '../../../lib/limits/limit.ts';
import { createPlan } from '../../../lib/limits/plan.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { redisStore } from '../../../lib/stores/redis/redis-store.ts';
import type { Hold, SettleResult, Store, StoreNotice } from '../../../lib/stores/store.ts';
import { newPrefix } from '../../support/services/random-name.ts';
import { ownRedisServer, type RedisServer } from '../../support/services/redis-server.ts';

const minuteMs = 60_000;
const beganAtMs = Date.UTC(2026, 0, 15, 12);
const limits = { ...noLimits, rpmLimit: 100, tpmLimit: 10_000, maxParallelRequests: 9, maxBudgetNanoUsd: 1_000_000 };

/** Calls of a key that are held against one scope, on a store whose clock stands still unless it is moved. */
async function knownKey(store: Store, ofScope: Limits = limits, scopeId: ScopeId = 'key:one') {
  let nowMs = beganAtMs;
  let holds = 0;
  const notices: StoreNotice[] = [];
  store.open({ clock: () => nowMs, logger: console, onNotice: (notice) => notices.push(notice) });
  const scope = { scopeId, revision: 1, anchorMs: 0, rateLimitEnabled: true, limits: ofScope } as const;
  const admit = (tokens: number) => {
    holds += 1;
    return store.admit({
      holdId: `hold-${holds}`,
      plan: createPlan([scope], 'gpt-4o', nowMs),
      mintedAtMs: nowMs,
      amounts: { tokens, costNanoUsd: 100 },
      subject: { keyId: 'one', ownerId: null, teamId: null, model: 'gpt-4o', endpoint: null },
      notAfterMs: null,
      leaseMs: 600 * minuteMs,
      onAbandoned: 'charge',
      trace: null,
    });
  };
  const unseeded = await admit(0);
  if (unseeded.outcome !== 'unseeded') assert.fail(unseeded.outcome);
  for (const { scopeId, nonce } of unseeded.scopes) await store.seed(scopeId, nonce, 1, []);
  return {
    notices,
    wait: (ms: number) => {
      nowMs += ms;
    },
    async hold(tokens: number): Promise<Hold> {
      const verdict = await admit(tokens);
      return verdict.outcome === 'admitted' ? verdict.hold : assert.fail(verdict.outcome);
    },
    async settle(hold: Hold, tokens: number): Promise<SettleResult> {
      const usage = { inputTokens: tokens, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };
      return store.settle({ hold, usage, costNanoUsd: 70, source: 'reported', model: 'gpt-4o' });
    },
    /** Without what counts nothing. */
    async standing() {
      const [balance] = await store.balances([scopeId]);
      const windows = balance?.windows.map(({ id, used }) => [id, used] as const) ?? [];
      return { ...balance, windows: new Map(windows.filter(([, used]) => used !== 0)) };
    },
  };
}

type Key = Awaited<ReturnType<typeof knownKey>>;

describe('redisStore: the end of a call', () => {
  let server: RedisServer;
  let client: Redis;
  let prefix: string;
  let store: Store;

  before(async function () {
    this.timeout(60_000);
    server = await ownRedisServer();
    client = new Redis(server.url);
  });

  after(async () => {
    client.disconnect();
    await server.stop();
  });

  beforeEach(() => {
    prefix = newPrefix();
    store = redisStore({ client, prefix });
  });

  afterEach(() => store.close());

  async function scopeKey(): Promise<string> {
    const [key] = await client.keys(`${prefix}*s:*`);
    return key ?? assert.fail('Nothing is counted');
  }

  /** How often a script had Redis do what. */
  async function commandsOf(act: () => Promise<unknown>): Promise<ReadonlyMap<string, number>> {
    await client.config('RESETSTAT');
    await act();
    const stats = (await client.info('commandstats')).matchAll(/cmdstat_(\w+):calls=(\d+)/g);
    return new Map([...stats].map(([, name = '', calls]) => [name, Number(calls)]));
  }

  /** The same acts have the same answers, and leave the same. */
  async function agreesWithMemory(acts: (key: Key) => Promise<unknown>, ofScope?: Limits): Promise<void> {
    const told = async (ofStore: Store) => {
      const key = await knownKey(ofStore, ofScope);
      const answers = await acts(key);
      return {
        answers,
        jumps: key.notices.filter(({ type }) => type === 'clock_jump'),
        standing: await key.standing(),
      };
    };
    assert.deepEqual(await told(store), await told(memoryStore()));
  }

  it('takes one pass over its counters, where nothing is unusual', async () => {
    const key = await knownKey(store);
    await key.settle(await key.hold(50), 20);
    const holds = [await key.hold(50), await key.hold(50)];
    for (const hold of holds) {
      const commands = await commandsOf(() => key.settle(hold, 20));
      // The hold and the scope; the sums; the hold, the scope and the sums.
      assert.deepEqual([commands.get('hmget'), commands.get('hget'), commands.get('hset')], [2, 1, 3]);
    }
  });

  it('counts twice in a field of which two limits count', async () => {
    const perModel = { model: 'gpt-*', rpmLimit: null, tpmLimit: 1000, maxBudget: null };
    const twice = { ...limits, modelLimits: [perModel, perModel] };
    for (const [taken, used] of [
      [50, 20],
      [20, 50],
    ] as const) {
      store = redisStore({ client, prefix: newPrefix() });
      await agreesWithMemory(async (key) => key.settle(await key.hold(taken), used), twice);
    }
  });

  it('gives back nothing that others took, after the clock stepped forward and back', async () => {
    // In the newest cell, and in an earlier one.
    for (const laterMs of [0, 5000]) {
      store = redisStore({ client, prefix: newPrefix() });
      await agreesWithMemory(async (key) => {
        key.wait(60 * minuteMs);
        const ahead = await key.hold(60);
        key.wait(-60 * minuteMs);
        const behind = await key.settle(await key.hold(40), 30);
        key.wait(60 * minuteMs);
        await key.hold(10);
        key.wait(laterMs);
        return [behind, await key.settle(ahead, 5)];
      });
    }
  });

  it('tells that the clock stepped back, and starts the window again', async () => {
    await agreesWithMemory(
      async (key) => {
        const early = await key.hold(50);
        key.wait(60 * minuteMs);
        await key.hold(10);
        key.wait(-60 * minuteMs);
        return key.settle(early, 20);
      },
      { ...limits, rpmLimit: null },
    );
  });

  it('charges a budget whose counter was lost, and begins a window anew', async () => {
    const key = await knownKey(store);
    const hold = await key.hold(50);
    const fields = (await client.hkeys(await scopeKey())).filter((field) => /^[bt]:/.test(field));
    assert.equal(await client.hdel(await scopeKey(), ...fields), 2);
    const { state, charged } = await key.settle(hold, 80);
    const budget = { scopeId: 'key:one', budgetId: 'main', periodStartMs: 0, spentNanoUsd: 70 };
    assert.deepEqual({ state, charged }, { state: 'settled', charged: [budget] });
    const { windows, openHolds } = await key.standing();
    assert.deepEqual([windows.get('tpm'), openHolds], [30, 0]);
  });

  it('leaves a scope alone that the ledger has forgotten', async () => {
    const key = await knownKey(store, { ...noLimits, maxParallelRequests: 9 }, 'user:ann');
    const hold = await key.hold(50);
    const forgotten = await scopeKey();
    await client.del(forgotten);
    const { state, charged } = await key.settle(hold, 80);
    assert.deepEqual({ state, charged }, { state: 'settled', charged: [] });
    assert.equal(await client.exists(forgotten), 0);
    assert.equal((await key.settle(hold, 80)).state, 'already');
  });

  it('changes nothing where a counter is nonsense, and is repeated once that is mended', async () => {
    const key = await knownKey(store);
    const hold = await key.hold(50);
    const [field = '', value = ''] =
      Object.entries(await client.hgetallBuffer(await scopeKey())).find(([name]) => name.startsWith('b:')) ?? [];
    await client.hset(await scopeKey(), field, 'nonsense');
    await assert.rejects(key.settle(hold, 20), { code: 'store_unavailable' });
    await client.hset(await scopeKey(), field, value);
    assert.equal((await key.settle(hold, 20)).state, 'settled');
    const { windows, openHolds, budgets } = await key.standing();
    assert.deepEqual([windows.get('tpm'), openHolds, budgets?.[0]?.heldNanoUsd], [20, 0, 0]);
    assert.equal((await store.usageEvents(null, 10)).events.length, 1);
  });
});
