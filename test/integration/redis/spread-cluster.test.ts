import assert from 'node:assert/strict';
import { Cluster } from 'ioredis';
import { StoreUnavailableError } from '../../../lib/errors.ts';
import type { ScopeId } from '../../../lib/limits/limit.ts';
import type { RedisClient } from '../../../lib/stores/redis/client.ts';
import { redisStore } from '../../../lib/stores/redis/redis-store.ts';
import { shardOf } from '../../../lib/stores/shard.ts';
import type { AdmitVerdict, Hold, Store, StoreNotice } from '../../../lib/stores/store.ts';
import { createKnownCaller, keyScope, keyWith, limited } from '../../../lib/testing/store-suite/caller.ts';
import { sampleChange, samplePolicy } from '../../../lib/testing/store-suite/sample-records.ts';
import { nothingCounted, standingOf } from '../../../lib/testing/store-suite/standing.ts';
import type { Session } from '../../../lib/testing/store-suite/store-case.ts';
import { createTestClock, hourMs, secondMs } from '../../../lib/testing/store-suite/test-clock.ts';
import { eventually } from '../../support/eventually.ts';
import { type FateOf, type ScriptFate, withScriptFates } from '../../support/faulty-commands.ts';
import { newPrefix } from '../../support/services/random-name.ts';
import { type RedisCluster, redisCluster } from '../../support/services/redis-cluster.ts';

const budget = { maxBudgetNanoUsd: 10_000_000_000 };
const scopeIds: readonly ScopeId[] = [keyScope, 'user:ann', 'team:red'];
const leaseMs = 120_000;

describe('redisStore: counters in several slots', () => {
  let cluster: RedisCluster;
  let client: Cluster;
  let faulty: RedisClient;
  let prefix: string;
  let fateOf: FateOf;
  let session: Session;
  let leave: () => void;

  before(async function () {
    this.timeout(60_000);
    cluster = await redisCluster();
    client = new Cluster([...cluster.nodes]);
    faulty = withScriptFates(client, (keys) => fateOf(keys));
  });

  after(async () => {
    client.disconnect();
    await cluster.stop();
  });

  beforeEach(() => {
    prefix = newPrefix();
    fateOf = () => 'done';
    const store = redisStore({ client: faulty, prefix });
    const clock = createTestClock();
    const notices: StoreNotice[] = [];
    const logger = { warn: () => undefined, error: () => undefined };
    leave = store.open({ clock: clock.now, logger, onNotice: (notice) => notices.push(notice) });
    session = { store, clock, notices };
  });

  afterEach(() => leave());

  const tagOf = (scopeId: ScopeId) => `{${String(shardOf(scopeId)).padStart(2, '0')}}`;
  const isIn = (keys: readonly string[], scopeId: ScopeId) => keys.some((key) => key.includes(tagOf(scopeId)));

  /** A key whose owner and team have budgets, too, each in another slot. */
  function spreadCaller(limits: { readonly key?: object; readonly user?: object; readonly team?: object } = {}) {
    const { key = budget, user = budget, team = budget } = limits;
    return createKnownCaller(session, keyWith(key), limited('user:ann', user), limited('team:red', team));
  }

  async function standings(store: Store) {
    return Promise.all(scopeIds.map((scopeId) => standingOf(store, scopeId)));
  }

  async function spent(): Promise<readonly number[]> {
    return (await standings(session.store)).map(({ budgets }) => budgets.main?.spent ?? 0);
  }

  async function sweepAll(): Promise<void> {
    for (let round = 0; round < 4; round += 1) {
      session.clock.advance(leaseMs);
      await session.store.sweep(1000);
    }
  }

  /** Everything but records and current counters goes by itself. */
  async function keysWithoutEnd(): Promise<readonly string[]> {
    const masters = client.nodes('master');
    const found = await Promise.all(
      masters.map(async (node) => {
        const keys = await node.keys(`${prefix}*`);
        const lasting = await Promise.all(keys.map(async (key) => ((await node.pttl(key)) === -1 ? [key] : [])));
        return lasting.flat();
      }),
    );
    const isExpected = (key: string) => /\}:(s:|usage$|days$|leases$)/.test(key);
    return found.flat().filter((key) => !isExpected(key));
  }

  it('a call counts in all of them, each in a slot of its own', async () => {
    assert.equal(new Set(scopeIds.map(shardOf)).size, 3);
    const caller = await spreadCaller();
    const hold = await caller.hold({ tokens: 10, costUsd: 1 });
    const held = { main: { spent: 0, held: 1 } };
    for (const standing of await standings(session.store)) assert.deepEqual(standing.budgets, held);
    const settled = await caller.settle(hold, { inputTokens: 5, costUsd: 0.25 });
    assert.deepEqual(
      settled.charged.map(({ scopeId, spentNanoUsd }) => [scopeId, spentNanoUsd]).sort(),
      scopeIds.map((scopeId) => [scopeId, 250_000_000]).sort(),
    );
    assert.deepEqual(await spent(), [0.25, 0.25, 0.25]);
    assert.deepEqual(await keysWithoutEnd(), []);
  });

  it('a call that the last of them refuses is counted in none', async () => {
    const caller = await spreadCaller({
      key: { maxBudgetNanoUsd: 0 },
      team: { ...budget, rpmLimit: 5, maxParallelRequests: 5 },
    });
    for (let call = 0; call < 10; call += 1) {
      assert.equal((await caller.refused({ tokens: 10, costUsd: 1 })).by, `${keyScope}/main`);
    }
    for (const standing of await standings(session.store)) assert.deepEqual(standing, nothingCounted);
    assert.deepEqual(await keysWithoutEnd(), []);
  });

  it('what a process took that died before the home was asked comes back with the lease, and is no event', async () => {
    const caller = await spreadCaller({ team: { ...budget, maxParallelRequests: 1 } });
    fateOf = (keys) => (isIn(keys, keyScope) ? 'lost on its way' : 'done');
    await assert.rejects(async () => caller.admit({ tokens: 10, costUsd: 1, holdId: 'lost' }));
    fateOf = () => 'done';
    assert.equal((await standingOf(session.store, 'team:red')).openHolds, 1);
    assert.equal((await caller.refused({ costUsd: 1 })).by, 'team:red/parallel');
    session.clock.advance(leaseMs);
    await caller.hold({ costUsd: 2 });
    assert.deepEqual((await standingOf(session.store, 'team:red')).budgets, { main: { spent: 0, held: 2 } });
    assert.deepEqual((await session.store.usageEvents(null, 10)).events, []);
    assert.ok(session.notices.every(({ type }) => type === 'missed'));
    // Should the home be asked after all, it is too late.
    const late = { tokens: 10, costUsd: 1, holdId: 'lost', mintedAtMs: session.clock.now() };
    assert.deepEqual(await caller.admit(late), { outcome: 'hold_ended' });
  });

  it('what others have not heard of a settlement they learn soon, once', async () => {
    const caller = await spreadCaller();
    const holds = [await caller.hold({ costUsd: 1 }), await caller.hold({ costUsd: 1 })];
    fateOf = (keys) => (isIn(keys, 'team:red') ? 'lost on its way' : 'done');
    for (const hold of holds) assert.equal((await caller.settle(hold, { costUsd: 0.5 })).state, 'settled');
    fateOf = () => 'done';
    assert.deepEqual((await standingOf(session.store, 'team:red')).budgets, { main: { spent: 0, held: 2 } });
    session.clock.advance(10 * secondMs);
    await session.store.sweep(100);
    assert.deepEqual(await spent(), [1, 1, 1]);
    await sweepAll();
    assert.deepEqual(await spent(), [1, 1, 1]);
    assert.equal((await session.store.usageEvents(null, 10)).events.length, 2);
    assert.deepEqual(await keysWithoutEnd(), []);
  });

  it('the end of a lease is charged in all of them, and a late settlement corrects it in all', async () => {
    const caller = await spreadCaller();
    const hold = await caller.hold({ costUsd: 1 });
    session.clock.advance(leaseMs);
    assert.equal(await session.store.sweep(10), 1);
    assert.deepEqual(await spent(), [1, 1, 1]);
    const abandoned = session.notices.flatMap((notice) => (notice.type === 'abandoned' ? [notice.charged.length] : []));
    assert.deepEqual(abandoned, [3]);
    assert.equal((await caller.settle(hold, { costUsd: 3 })).state, 'late');
    assert.equal((await caller.settle(hold, { costUsd: 3 })).state, 'already');
    assert.deepEqual(await spent(), [3, 3, 3]);
  });

  it('a hold outlives its lease elsewhere for as long as its home renews it', async () => {
    const caller = await spreadCaller();
    const hold = await caller.hold({ costUsd: 1 });
    for (let renewal = 0; renewal < 8; renewal += 1) {
      session.clock.advance(leaseMs / 2);
      assert.deepEqual(await session.store.renew(hold), { state: 'renewed' });
      assert.equal(await session.store.sweep(10), 0);
    }
    for (const { budgets } of await standings(session.store)) assert.deepEqual(budgets.main, { spent: 0, held: 1 });
    assert.equal((await caller.settle(hold, { costUsd: 0.5 })).state, 'settled');
    assert.deepEqual(await spent(), [0.5, 0.5, 0.5]);
  });

  it('a settlement is charged in full where a node lost what was held', async () => {
    const caller = await spreadCaller();
    const atTeam = await caller.hold({ costUsd: 1, holdId: 'lost-at-team' });
    const atHome = await caller.hold({ costUsd: 1, holdId: 'lost-at-home' });
    await client.del(`${prefix}${tagOf('team:red')}:h:lost-at-team`, `${prefix}${tagOf('team:red')}:leases`);
    await client.del(`${prefix}${tagOf(keyScope)}:h:lost-at-home`);
    await client.zrem(`${prefix}${tagOf(keyScope)}:leases`, 'lost-at-home');
    await sweepAll();
    assert.equal((await caller.settle(atHome, { costUsd: 2 })).state, 'lost_hold');
    assert.equal((await caller.settle(atTeam, { costUsd: 2 })).state, 'late');
    await sweepAll();
    assert.deepEqual(await spent(), [4, 4, 4]);
    assert.deepEqual(await keysWithoutEnd(), []);
  });

  it('a change of a policy that limited nothing is heard of in every slot', async () => {
    const noPolicy = limited('team:red', {}, { revision: 0, limits: null });
    const caller = await createKnownCaller(session, keyWith(budget), noPolicy);
    await caller.hold();
    const policy = samplePolicy(session.clock.now(), { rpmLimit: 0 });
    assert.equal((await session.store.putPolicy('team:red', policy, sampleChange())).outcome, 'updated');
    assert.equal((await caller.admit()).outcome, 'stale');
    // A request that goes on for a day makes calls by the record with which it began.
    assert.ok((await client.pttl(`${prefix}${tagOf(keyScope)}:f:team:red`)) > 24 * hourMs);
  });

  it('the clock of the home decides in which period a call falls, where those of two nodes differ', async () => {
    const daily = { ...budget, budgetDuration: 'daily' } as const;
    const caller = await spreadCaller({ key: daily, team: daily });
    const midnightMs = Date.UTC(2026, 0, 16);
    session.clock.set(midnightMs - secondMs);
    const plan = caller.plan();
    const mintedAtMs = session.clock.now();
    // The team is asked before the home, and has a clock that is ahead.
    session.clock.set(midnightMs + 1);
    fateOf = (keys) => (isIn(keys, 'team:red') ? async () => session.clock.set(midnightMs - 1) : 'done');
    const verdict = await caller.admit({ costUsd: 1, plan, mintedAtMs });
    assert.equal(verdict.outcome, 'admitted');
    fateOf = () => 'done';
    session.clock.set(midnightMs + 1);
    assert.equal((await caller.admit({ costUsd: 1, plan })).outcome, 'stale_clock');
    for (const scopeId of [keyScope, 'team:red'] as const) {
      assert.deepEqual((await standingOf(session.store, scopeId)).budgets, {
        'main from 2026-01-15': { spent: 0, held: 1 },
      });
    }
  });

  it('a slot that keeps no copies lets nothing in, and does not ask for ever', async () => {
    const caller = await createKnownCaller(session, keyWith(budget), limited('team:red'));
    fateOf = async (keys): Promise<ScriptFate> => {
      if (isIn(keys, keyScope)) await client.del(`${prefix}${tagOf(keyScope)}:f:team:red`);
      return 'done';
    };
    await assert.rejects(async () => caller.admit(), StoreUnavailableError);
  });

  /** Has something else happen before the home is first asked. */
  function beforeHome(happens: () => Promise<unknown>): FateOf {
    let isFirst = true;
    return async (keys): Promise<ScriptFate> => {
      if (!isFirst || !isIn(keys, keyScope)) return 'done';
      isFirst = false;
      await happens();
      return 'done';
    };
  }

  it('a request stays counted where the call was settled whose place another was about to take', async () => {
    const caller = await spreadCaller({ team: { ...budget, rpmLimit: 5 } });
    const hold = await caller.hold({ tokens: 10, costUsd: 1 });
    fateOf = beforeHome(async () => caller.settle(hold, { costUsd: 0.5 }));
    assert.deepEqual(await caller.extend(hold, { costUsd: 2, replacesFirst: true }), { outcome: 'hold_ended' });
    assert.deepEqual(await standingOf(session.store, 'team:red'), {
      openHolds: 0,
      windows: { rpm: 1 },
      budgets: { main: { spent: 0.5, held: 0 } },
    });
  });

  it('a request stays counted where the lease ended of the call whose place another was about to take', async () => {
    const caller = await spreadCaller({ team: { ...budget, rpmLimit: 5 } });
    const hold = await caller.hold({ tokens: 10, costUsd: 1, leaseMs: 10 * secondMs });
    fateOf = beforeHome(async () => {
      session.clock.advance(10 * secondMs);
      await session.store.sweep(10);
    });
    assert.deepEqual(await caller.extend(hold, { costUsd: 2, replacesFirst: true }), { outcome: 'hold_ended' });
    assert.deepEqual((await standingOf(session.store, 'team:red')).windows, { rpm: 1 });
  });

  it('a slot comes back once, however late a sweep goes on that another process has overtaken', async () => {
    const caller = await spreadCaller({ key: { ...budget, maxParallelRequests: 5 } });
    const hold = await caller.hold({ costUsd: 1 });
    const further = await caller.extend(hold, { costUsd: 1, replacesFirst: true });
    assert.equal(further.outcome, 'admitted');
    if (further.outcome === 'admitted') await caller.settle(further.hold, { costUsd: 1 });
    session.clock.advance(leaseMs);
    // A sweep looks at all holds that are due, then at each of them before it ends it.
    let looks = 0;
    fateOf = (keys) => {
      if (keys.length !== 1 || !keys[0]?.includes(`${tagOf(keyScope)}:h:`)) return 'done';
      return async () => {
        looks += 1;
        if (looks === 2) await overtake();
      };
    };
    async function overtake(): Promise<void> {
      fateOf = (keys) => (keys.some((key) => key.includes(`${tagOf('team:red')}:h:`)) ? 'lost on its way' : 'done');
      await assert.rejects(session.store.sweep(10), StoreUnavailableError);
      session.clock.advance(10 * secondMs);
      fateOf = () => 'done';
    }
    await session.store.sweep(10);
    assert.equal((await standingOf(session.store, keyScope)).openHolds, 0);
  });

  it('one of two tries of the same call that is refused takes nothing from the other', async () => {
    const caller = await spreadCaller({ key: { ...budget, maxParallelRequests: 1 } });
    const inTheWay = await caller.hold();
    const arrived: (() => void)[] = [];
    fateOf = (keys) => {
      if (!isIn(keys, keyScope) || arrived.length === 2) return 'done';
      return new Promise((resolve) => arrived.push(() => resolve('done')));
    };
    const request = caller.admitRequest({ costUsd: 1 });
    const [first, second] = [session.store.admit(request), session.store.admit(request)];
    await eventually(() => arrived.length === 2);
    arrived[0]?.();
    assert.equal((await first).outcome, 'refused');
    await caller.settle(inTheWay);
    arrived[1]?.();
    assert.equal((await second).outcome, 'admitted');
    for (const { budgets } of await standings(session.store))
      assert.deepEqual(budgets, { main: { spent: 0, held: 1 } });
  });

  it('what a first call took elsewhere comes back when one takes its place that counts at home alone', async () => {
    const caller = await spreadCaller();
    const hold = await caller.hold({ costUsd: 1 });
    const atHome = caller.under(keyWith(budget), limited('user:ann'), limited('team:red'));
    assert.equal((await atHome.extend(hold, { costUsd: 2, replacesFirst: true })).outcome, 'admitted');
    assert.deepEqual((await standingOf(session.store, 'team:red')).budgets, {});
    assert.deepEqual((await standingOf(session.store, keyScope)).budgets, { main: { spent: 0, held: 2 } });
  });

  it('a call that was let in stays let in, and takes nothing more, when it is asked for by newer records', async () => {
    const caller = await spreadCaller();
    const request = caller.admitRequest({ costUsd: 1 });
    const before = await session.store.admit(request);
    const moved = (limits: object) => [keyWith(budget), limited('user:ann', budget), limited('team:blue', limits)];
    const inOtherTeam = await createKnownCaller(session, ...moved(budget));
    const { plan } = inOtherTeam.admitRequest();
    const again = await session.store.admit({ ...request, plan });
    assert.deepEqual(outcomeAndHold(again), outcomeAndHold(before));
    assert.deepEqual(await standingOf(session.store, 'team:blue'), nothingCounted);
    const refusing = inOtherTeam.under(...moved({ maxBudgetNanoUsd: 0 })).admitRequest();
    const andAgain = await session.store.admit({ ...request, plan: refusing.plan });
    assert.deepEqual(outcomeAndHold(andAgain), outcomeAndHold(before));
    assert.deepEqual((await standingOf(session.store, 'team:red')).budgets, { main: { spent: 0, held: 1 } });
  });

  it('a node that lost what was held keeps nothing for ever of what it is told', async () => {
    const caller = await spreadCaller();
    const hold = await caller.hold({ costUsd: 1, holdId: 'lost' });
    const further = await caller.extend(hold, { costUsd: 1 });
    assert.equal(further.outcome, 'admitted');
    await client.del(`${prefix}${tagOf('team:red')}:h:lost`, `${prefix}${tagOf('team:red')}:leases`);
    await caller.settle(hold, { costUsd: 1 });
    await client.del(`${prefix}${tagOf(keyScope)}:h:lost`, `${prefix}${tagOf(keyScope)}:leases`);
    session.clock.advance(25 * hourMs);
    await sweepAll();
    assert.deepEqual(await keysWithoutEnd(), []);
  });

  it('what was settled is remembered for hours, not days', async () => {
    const caller = await spreadCaller();
    await caller.settle(await caller.hold({ costUsd: 1 }), { costUsd: 1 });
    const remembered = await Promise.all(
      client.nodes('master').map(async (node) => {
        const keys = await node.keys(`${prefix}*:h:*`);
        return Promise.all(keys.map((key) => node.pttl(key)));
      }),
    );
    assert.equal(remembered.flat().length, 3);
    for (const ttlMs of remembered.flat()) assert.ok(ttlMs > hourMs / 2 && ttlMs <= 2 * hourMs, `${ttlMs} ms`);
  });

  it('a cancellation that overtakes its admission leaves nothing counted', async () => {
    const caller = await spreadCaller({ team: { ...budget, rpmLimit: 5 } });
    const request = caller.admitRequest({ costUsd: 1 });
    const asked: Hold = { ...request, callId: '', home: '', takes: request.plan.takes, atMs: session.clock.now() };
    fateOf = beforeHome(async () => session.store.cancel(asked));
    assert.deepEqual(await session.store.admit(request), { outcome: 'hold_ended' });
    for (const standing of await standings(session.store)) assert.deepEqual(standing, nothingCounted);
  });

  it('holds end at the end of their lease, also while those of another shard cannot', async () => {
    const caller = await spreadCaller();
    await caller.hold({ costUsd: 1 });
    const other: ScopeId = 'key:other';
    const others = await createKnownCaller(session, limited(other, budget));
    await others.hold({ costUsd: 1, subject: { keyId: 'other' } });
    session.clock.advance(leaseMs);
    fateOf = (keys) => (isIn(keys, keyScope) ? 'lost on its way' : 'done');
    await assert.rejects(session.store.sweep(10), StoreUnavailableError);
    fateOf = () => 'done';
    assert.deepEqual((await standingOf(session.store, other)).budgets, { main: { spent: 1, held: 0 } });
  });
});

function outcomeAndHold(verdict: AdmitVerdict) {
  return { outcome: verdict.outcome, hold: verdict.outcome === 'admitted' ? verdict.hold : undefined };
}
