import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import type { AdmitResult } from '../../../lib/keys/direct-admissions.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import type { AdmitRequest, AdmitVerdict, Hold, Store } from '../../../lib/stores/store.ts';
import { manualClock } from '../../support/clock.ts';
import { admittedHold, call, createKey, spend, storeWith, testService, withoutNotices } from '../../support/service.ts';

const hourMs = 3_600_000;

function refusedBy(reason: 'key' | 'model'): AdmitResult {
  return { admitted: false, reason, scope: 'key', limit: null, limitName: null, retryAfterMs: null };
}

/** Two services on one store that hear nothing of each other. */
function deafPair() {
  const store = withoutNotices(memoryStore());
  const clock = manualClock();
  return [testService({ store, clock }), testService({ store, clock })] as const;
}

describe('createVirtualKeys: the fence', () => {
  it('refuses the very next call after a revocation, in a service that still has the key in its cache', async () => {
    const [first, second] = deafPair();
    const { key, secret } = await createKey(first);
    const hold = admittedHold(await second.keys.admit(call(key.id)));
    assert.equal((await second.keys.verify(secret)).valid, true);
    await first.keys.revoke(key.id);
    assert.deepEqual(await second.keys.admit(call(key.id)), refusedBy('key'));
    assert.deepEqual(await second.keys.extend(hold, call(key.id)), refusedBy('key'));
    assert.deepEqual(await second.keys.verify(secret), { valid: false, reason: 'revoked' });
  });

  it('refuses the next call after a key was disabled, deleted, or lost its model', async () => {
    const [first, second] = deafPair();
    for (const [change, reason] of [
      [(id: string) => first.keys.disable(id), 'key'],
      [(id: string) => first.keys.delete(id), 'key'],
      [(id: string) => first.keys.update(id, { models: ['o1'] }), 'model'],
    ] as const) {
      const { key } = await createKey(first);
      assert.equal((await second.keys.admit(call(key.id))).admitted, true);
      await change(key.id);
      assert.deepEqual(await second.keys.admit(call(key.id)), refusedBy(reason));
    }
  });

  it('holds the next call against limits that were set meanwhile, of the key or of a policy over it', async () => {
    const [first, second] = deafPair();
    const { key } = await createKey(first, { teamId: 'red' });
    assert.equal((await second.keys.admit(call(key.id))).admitted, true);
    await first.keys.setPolicy({ team: 'red' }, { rpmLimit: 0 });
    const refused = await second.keys.admit(call(key.id));
    assert.ok(!refused.admitted);
    assert.deepEqual([refused.scope, refused.limitName], ['team', 'rpm']);
    await first.keys.setPolicy({ team: 'red' }, {});
    assert.equal((await second.keys.admit(call(key.id))).admitted, true);
    await first.keys.update(key.id, { maxParallelRequests: 1 });
    const full = await second.keys.admit(call(key.id));
    assert.ok(!full.admitted);
    assert.deepEqual([full.scope, full.limitName], ['key', 'parallel']);
  });

  it('is not raised by changes that no admission has to hear of', async () => {
    const [first, second] = deafPair();
    const { key } = await createKey(first);
    await second.keys.admit(call(key.id));
    let reads = 0;
    const counting = storeWith(first.store, {
      findKey: (id) => {
        reads += 1;
        return first.store.findKey(id);
      },
    });
    const third = testService({ store: counting, clock: first.clock });
    await third.keys.admit(call(key.id));
    await first.keys.update(key.id, { name: 'Other', tags: ['x'], metadata: { a: 1 }, softBudget: 5 });
    await third.keys.admit(call(key.id));
    assert.equal(reads, 1);
  });

  it('gives up after records changed twice while one call was judged', async () => {
    const store = memoryStore();
    let asked = 0;
    const service = testService({
      store: storeWith(store, {
        admit: ({ plan }) => {
          asked += 1;
          return { outcome: 'stale', scopeId: plan.scopes[0]?.scopeId ?? 'global', revision: 1 };
        },
      }),
    });
    const { key } = await createKey(service);
    await assert.rejects(service.keys.admit(call(key.id)), { code: 'store_unavailable', status: 503 });
    assert.equal(asked, 2);
  });

  it('refuses by the clock of the store what expired there', async () => {
    const clock = manualClock();
    const behind = manualClock(clock() - 60_000);
    const store = memoryStore();
    const service = testService({
      store: storeWith(store, { open: (environment) => store.open({ ...environment, clock }) }),
      clock: behind,
    });
    const { key } = await createKey(service, { expiresAt: clock() });
    assert.equal(key.status, 'active');
    assert.deepEqual(await service.keys.admit(call(key.id)), refusedBy('key'));
  });
});

describe('createVirtualKeys: clocks that differ', () => {
  for (const [where, skewMs] of [
    ['ahead of', 60_000],
    ['behind', -60_000],
  ] as const) {
    it(`counts a call in the period of the store, with a clock ${where} it at the turn of the month`, async () => {
      const turnMs = Date.UTC(2025, 6, 1);
      const storeClock = manualClock(turnMs - skewMs / 2);
      const clock = manualClock(turnMs + skewMs / 2);
      const store = memoryStore();
      const verdicts: AdmitVerdict['outcome'][] = [];
      const skewed = storeWith(store, {
        open: (environment) => store.open({ ...environment, clock: storeClock }),
        admit: async (request) => {
          const verdict = await store.admit(request);
          verdicts.push(verdict.outcome);
          return verdict;
        },
      });
      const service = testService({ store: skewed, clock });
      const { key } = await createKey(service, { maxBudget: 5, budgetDuration: 'monthly' });
      await spend(service.keys, key.id, 2, { costUsd: 2 });
      assert.deepEqual(verdicts, ['stale_clock', 'admitted']);
      const [balance] = await store.balances([`key:${key.id}`]);
      const spent = balance?.budgets.filter(({ spentNanoUsd }) => spentNanoUsd > 0);
      const periodStartMs = skewMs > 0 ? Date.UTC(2025, 5, 1) : turnMs;
      assert.deepEqual(spent, [{ budgetId: 'main', periodStartMs, spentNanoUsd: 2e9, heldNanoUsd: 0 }]);
    });
  }

  it('admits with a clock that is hours behind the store', async () => {
    const clock = manualClock();
    const storeClock = manualClock(clock() + 3 * hourMs);
    const store = memoryStore();
    const skewed = storeWith(store, { open: (environment) => store.open({ ...environment, clock: storeClock }) });
    const service = testService({ store: skewed, clock });
    const { key } = await createKey(service, { rpmLimit: 1, maxBudget: 5, budgetDuration: 'hourly' });
    assert.equal((await service.keys.admit(call(key.id, { costUsd: 1 }))).admitted, true);
    assert.equal((await service.keys.admit(call(key.id, { costUsd: 1 }))).admitted, false);
  });

  it('gives up on a store whose clock never agrees with itself', async () => {
    const store = memoryStore();
    let asked = 0;
    const admit: Store['admit'] = () => {
      asked += 1;
      return { outcome: 'stale_clock', nowMs: asked * 40 * 24 * hourMs };
    };
    const service = testService({ store: storeWith(store, { admit }) });
    const { key } = await createKey(service);
    await assert.rejects(service.keys.admit(call(key.id)), { code: 'store_unavailable', status: 503 });
    assert.equal(asked, 3);
  });
});

describe('createVirtualKeys: a ledger that has lost its counters', () => {
  /** The records and usage of one store with the ledger of another, as after an emptied Redis. */
  function withEmptyLedger(store: Store): Store {
    const { admit, extend, settle, cancel, renew, sweep, balances, seed, open } = memoryStore();
    return {
      ...store,
      ...{ admit, extend, settle, cancel, renew, sweep, balances, seed },
      open: (environment) => {
        const leave = [store.open(environment), open(environment)];
        return () => {
          for (const leaveOne of leave) leaveOne();
        };
      },
    };
  }

  it('seeds the key and the policies over it with what the usage record says, and admits what is left', async () => {
    const before = testService();
    await before.keys.setPolicy({ team: 'red' }, { maxBudget: 10, budgetDuration: 'monthly' });
    const limits = { maxBudget: 5, budgetDuration: 'daily', modelMaxBudget: { 'gpt-4o': 4.5 } };
    const { key } = await createKey(before, { teamId: 'red', ...limits });
    const other = await createKey(before, { teamId: 'red' });
    await spend(before.keys, key.id, 4);
    await spend(before.keys, other.key.id, 5);

    const after = testService({ store: withEmptyLedger(before.store), clock: before.clock });
    const tooDear = await after.keys.admit(call(key.id, { costUsd: 0.51 }));
    assert.ok(!tooDear.admitted);
    assert.deepEqual([tooDear.reason, tooDear.limitName], ['budget', 'model_budget']);
    assert.equal((await after.keys.admit(call(key.id, { costUsd: 0.4 }))).admitted, true);
    const { limits: standing } = await after.keys.balance(key.id);
    assert.deepEqual(
      standing.map(({ scope, name, used }) => [scope, name, used]),
      [
        ['key', 'daily_budget', 4.4],
        ['key', 'model_budget', 4.4],
        ['team', 'monthly_budget', 9.4],
      ],
    );
  });

  it('reads once for all who find a scope unknown, and seeds it also when that took longer than they could wait', async () => {
    const before = testService();
    await before.keys.setPolicy('global', { maxBudget: 10, budgetDuration: 'monthly' });
    const { key } = await createKey(before);
    await spend(before.keys, key.id, 4);

    let readings = 0;
    let goOn = () => {};
    const slow = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const store = storeWith(withEmptyLedger(before.store), {
      async usage(query) {
        if (query.keyId === undefined) readings += 1;
        await slow;
        return before.store.usage(query);
      },
    });
    const after = testService({ store, clock: before.clock, storeTimeoutMs: 100 });
    const waited = await Promise.allSettled([1, 2, 3].map(() => after.keys.admit(call(key.id))));
    assert.deepEqual(
      waited.map(({ status }) => status),
      ['rejected', 'rejected', 'rejected'],
    );
    await assert.rejects(after.keys.admit(call(key.id)), { code: 'store_unavailable' });
    assert.equal(readings, 1);
    goOn();
    await turn();
    const tooDear = await after.keys.admit(call(key.id, { costUsd: 6.1 }));
    assert.deepEqual([!tooDear.admitted && tooDear.limitName, readings], ['monthly_budget', 1]);
    assert.equal((await after.keys.admit(call(key.id, { costUsd: 6 }))).admitted, true);
  });

  it('charges a call whose hold was lost once, and tells of it', async () => {
    const before = testService();
    const { key } = await createKey(before, { maxBudget: 5 });
    const hold = admittedHold(await before.keys.admit(call(key.id, { costUsd: 1 })));
    const after = testService({ store: withEmptyLedger(before.store), clock: before.clock });
    const lost: unknown[] = [];
    after.keys.on('hold.lost', ({ holdId, costUsd, source }) => lost.push({ holdId, costUsd, source }));
    assert.deepEqual(await after.keys.settle(hold, { costUsd: 2 }), { state: 'lost_hold', costUsd: 2 });
    assert.deepEqual(await after.keys.settle(hold, { costUsd: 2 }), { state: 'already', costUsd: 0 });
    assert.deepEqual(lost, [{ holdId: hold.holdId, costUsd: 2, source: 'lost_hold' }]);
  });

  it('gives up when seeding helps nothing', async () => {
    const store = memoryStore();
    let seeded = 0;
    const service = testService({
      store: storeWith(store, {
        admit: ({ plan }) => ({
          outcome: 'unseeded',
          scopes: [{ scopeId: plan.scopes[0]?.scopeId ?? 'global', nonce: 'n' }],
        }),
        seed: async () => {
          seeded += 1;
          return { state: 'superseded' };
        },
      }),
    });
    const { key } = await createKey(service);
    await assert.rejects(service.keys.admit(call(key.id)), { code: 'store_unavailable', status: 503 });
    assert.equal(seeded, 3);
  });
});

describe('createVirtualKeys: a store that does not answer', () => {
  const never = () => new Promise<never>(() => undefined);

  it('refuses the admission at the deadline and cancels it, should it still be carried out', async () => {
    const store = memoryStore();
    const requests: AdmitRequest[] = [];
    const cancelled: Hold[] = [];
    const service = testService({
      storeTimeoutMs: 5,
      store: storeWith(store, {
        admit: (request) => {
          requests.push(request);
          return never();
        },
        cancel: (hold) => {
          cancelled.push(hold);
          return store.cancel(hold);
        },
      }),
    });
    const { key } = await createKey(service);
    const error = await service.keys.admit(call(key.id)).catch((thrown) => thrown);
    assert.deepEqual(
      [error.name, error.code, error.status, error.message],
      ['StoreUnavailableError', 'store_unavailable', 503, 'The store did not answer within 5 ms'],
    );
    const [request] = requests;
    assert.ok(request);
    assert.deepEqual(
      cancelled.map(({ holdId, callId }) => [holdId, callId]),
      [[request.holdId, '']],
    );
    assert.deepEqual(await store.admit(request), { outcome: 'hold_ended' });
    const [balance] = await store.balances([`key:${key.id}`]);
    assert.equal(balance?.openHolds, 0);
  });

  it('gives back what was taken when only the answer was lost', async () => {
    const store = memoryStore();
    const service = testService({
      storeTimeoutMs: 5,
      store: storeWith(store, {
        admit: async (request) => {
          await store.admit(request);
          return never();
        },
      }),
    });
    const { key } = await createKey(service, { maxBudget: 1 });
    await assert.rejects(service.keys.admit(call(key.id, { costUsd: 1 })), { code: 'store_unavailable' });
    const { held, openRequests } = await service.keys.balance(key.id);
    assert.deepEqual({ held, openRequests }, { held: 0, openRequests: 0 });
  });

  it('answers every method with store_unavailable and the cause, whatever the store throws or forgets', async () => {
    const cause = new Error('connect ECONNREFUSED');
    const store = memoryStore();
    const healthy = testService({ store });
    const { key, secret } = await createKey(healthy);
    const hold = admittedHold(await healthy.keys.admit(call(key.id)));
    for (const fail of [() => Promise.reject(cause), never]) {
      const broken = Object.fromEntries(
        Object.entries(store).map(([name, value]) => [name, name === 'name' || name === 'open' ? value : fail]),
      ) as unknown as Store;
      const { keys } = testService({ store: broken, storeTimeoutMs: 5 });
      for (const ask of [
        () => keys.create({ name: 'x', models: [] }),
        () => keys.get(key.id),
        () => keys.list(),
        () => keys.count(),
        () => keys.update(key.id, { rpmLimit: 1 }),
        () => keys.rotate(key.id),
        () => keys.revoke(key.id),
        () => keys.delete(key.id),
        () => keys.deleteExpired(),
        () => keys.resetSpend(key.id),
        () => keys.verify(secret),
        () => keys.setPolicy('global', {}),
        () => keys.getPolicy('global'),
        () => keys.getDefaults(),
        () => keys.setDefaults({}),
        () => keys.usage({}),
        () => keys.audit(),
        () => keys.balance(key.id),
        () => keys.admit(call(key.id)),
        () => keys.extend(hold, call(key.id)),
        () => keys.settle(hold, {}),
        () => keys.cancel(hold),
        () => keys.renew(hold),
        () => keys.recordUsage({ id: 'x', keyId: key.id }),
      ]) {
        const error = await ask().catch((thrown) => thrown);
        assert.deepEqual([error.code, error.status], ['store_unavailable', 503], String(ask));
        assert.equal(error.cause, fail === never ? undefined : cause, String(ask));
      }
      assert.deepEqual(await keys.health(), { store: { name: 'memory', state: 'down' } });
    }
    assert.deepEqual(await healthy.keys.health(), { store: { name: 'memory', state: 'up' } });
  });

  it('keeps its word where one step of a change is not answered', async () => {
    const store = memoryStore();
    const healthy = testService({ store });
    await createKey(healthy);
    const service = testService({
      store: storeWith(store, { usage: never, findDefaults: async () => undefined }),
      storeTimeoutMs: 5,
    });
    const { key } = await createKey(service, { maxBudget: 5, budgetDuration: 'daily' });
    const unavailable = { code: 'store_unavailable', status: 503 };
    await assert.rejects(service.keys.update(key.id, { budgetDuration: 'weekly' }), unavailable);
    await assert.rejects(service.keys.setPolicy('global', { maxBudget: 5 }), unavailable);
    assert.deepEqual(await healthy.keys.get(key.id), key);
  });
});
