import assert from 'node:assert/strict';
import { createKnownCaller, keyScope, keyWith, limited } from '../caller.ts';
import { nothingCounted, standingOf } from '../standing.ts';
import { type Session, type StoreCase, storeCase } from '../store-case.ts';
import { hourMs, minuteMs, secondMs } from '../test-clock.ts';

const leaseMs = 2 * minuteMs;
const limits = { rpmLimit: 100, tpmLimit: 1000, maxParallelRequests: 1, maxBudgetNanoUsd: 10_000_000_000 };

function createLimitedCaller(session: Session) {
  return createKnownCaller(session, keyWith(limits), limited('team:red', { maxBudgetNanoUsd: 10_000_000_000 }));
}

function abandonedOf({ notices }: Session) {
  return notices.flatMap((notice) => (notice.type === 'abandoned' ? [notice.event] : []));
}

export const leaseCases: readonly StoreCase[] = [
  storeCase('ledger', 'a hold ends when its lease does, and not a millisecond earlier', async (session) => {
    const { store, clock } = session;
    const caller = await createLimitedCaller(session);
    await caller.hold({ tokens: 100, costUsd: 1, leaseMs });
    clock.advance(leaseMs - 1);
    assert.equal(await store.sweep(10), 0);
    assert.equal((await standingOf(store, keyScope)).openHolds, 1);
    clock.advance(1);
    assert.equal(await store.sweep(10), 1);
    assert.equal(await store.sweep(10), 0);
    assert.equal((await standingOf(store, keyScope)).openHolds, 0);
  }),

  storeCase('ledger', 'an abandoned hold gives back slot and tokens, and its estimate is charged', async (session) => {
    const { store, clock } = session;
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold({ tokens: 100, costUsd: 1, leaseMs: 10 * secondMs, trace: 'req_1' });
    clock.advance(10 * secondMs);
    await store.sweep(10);
    const after = { openHolds: 0, windows: { rpm: 1 }, budgets: { main: { spent: 1, held: 0 } } };
    assert.deepEqual(await standingOf(store, keyScope), after);
    assert.deepEqual((await standingOf(store, 'team:red')).budgets, after.budgets);
    const event = {
      ...hold.subject,
      holdId: hold.holdId,
      callId: '',
      source: 'abandoned',
      requests: 1,
      inputTokens: 0,
      outputTokens: 0,
      cacheReadTokens: 0,
      cacheWriteTokens: 0,
      costNanoUsd: 1_000_000_000,
      atMs: hold.atMs,
      trace: 'req_1',
    };
    assert.deepEqual((await store.usageEvents(null, 10)).events, [event]);
    assert.deepEqual(abandonedOf(session), [event]);
  }),

  storeCase('ledger', 'an abandoned hold that is released is charged nothing', async (session) => {
    const { store, clock } = session;
    const caller = await createLimitedCaller(session);
    await caller.hold({ tokens: 100, costUsd: 1, leaseMs: 10 * secondMs, onAbandoned: 'release' });
    clock.advance(10 * secondMs);
    await store.sweep(10);
    assert.deepEqual(await standingOf(store, keyScope), { ...nothingCounted, windows: { rpm: 1 } });
    assert.deepEqual(
      abandonedOf(session).map(({ costNanoUsd }) => costNanoUsd),
      [0],
    );
  }),

  storeCase('ledger', 'an admission first ends the expired holds of its scopes', async (session) => {
    const caller = await createLimitedCaller(session);
    await caller.hold({ leaseMs });
    session.clock.advance(leaseMs - 1);
    assert.equal((await caller.refused()).by, `${keyScope}/parallel`);
    session.clock.advance(1);
    await caller.hold();
    assert.equal((await standingOf(session.store, keyScope)).openHolds, 1);
    assert.equal(abandonedOf(session).length, 1);
  }),

  storeCase('ledger', 'a renewed lease counts from the renewal', async (session) => {
    const { store, clock } = session;
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold({ leaseMs });
    for (let renewals = 0; renewals < 5; renewals += 1) {
      clock.advance(leaseMs - 1);
      assert.deepEqual(await store.renew(hold), { state: 'renewed' });
      assert.equal(await store.sweep(10), 0);
    }
    clock.advance(leaseMs);
    assert.equal(await store.sweep(10), 1);
    assert.deepEqual(await store.renew(hold), { state: 'ended' });
  }),

  storeCase('ledger', 'a hold that has ended, or was never there, is not renewed', async (session) => {
    const { store } = session;
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold({ leaseMs });
    await caller.settle(hold);
    assert.deepEqual(await store.renew(hold), { state: 'ended' });
    assert.deepEqual(await store.renew({ ...hold, holdId: 'nothing' }), { state: 'ended' });
    session.clock.advance(leaseMs);
    assert.equal(await store.sweep(10), 0);
  }),

  storeCase('ledger', 'a sweep ends no more holds than it is told, the oldest first', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith());
    const traces = ['a', 'b', 'c', 'd', 'e'];
    for (const trace of traces) {
      await caller.hold({ leaseMs, trace });
      clock.advance(1);
    }
    clock.advance(leaseMs);
    assert.deepEqual([await store.sweep(2), await store.sweep(2), await store.sweep(2)], [2, 2, 1]);
    const events = abandonedOf(session);
    assert.deepEqual(
      events.map(({ trace }) => trace),
      traces,
    );
  }),

  storeCase('ledger', 'holds with leases of several lengths each end in their time', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith());
    await caller.hold({ leaseMs: 60 * secondMs });
    await caller.hold({ leaseMs: 10 * secondMs });
    clock.advance(10 * secondMs);
    assert.equal(await store.sweep(10), 1);
    clock.advance(50 * secondMs);
    assert.equal(await store.sweep(10), 1);
  }),

  storeCase('ledger', 'a lease that began before the clock stepped back holds no other', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith());
    clock.advance(hourMs);
    await caller.hold({ leaseMs });
    clock.advance(-hourMs);
    await caller.hold({ leaseMs });
    clock.advance(leaseMs);
    assert.equal(await store.sweep(10), 1);
    clock.advance(hourMs);
    assert.equal(await store.sweep(10), 1);
  }),

  ...(['charge', 'release'] as const).map((onAbandoned) =>
    storeCase('ledger', `a late settlement corrects a hold that was ${onAbandoned}d, once`, async (session) => {
      const { store, clock } = session;
      const caller = await createLimitedCaller(session);
      const hold = await caller.hold({ tokens: 100, costUsd: 1, leaseMs, onAbandoned });
      clock.advance(leaseMs);
      await store.sweep(10);
      const alive = await caller.hold();
      const { state, event } = await caller.settle(hold, { inputTokens: 20, outputTokens: 5, costUsd: 0.25 });
      assert.equal(state, 'late');
      assert.deepEqual([event?.costNanoUsd, event?.source, event?.atMs], [250_000_000, 'reported', hold.atMs]);
      assert.deepEqual(await caller.settle(hold, { costUsd: 0.25 }), { state: 'already', event: null, charged: [] });
      assert.deepEqual(await store.cancel(hold), { state: 'already' });
      const after = { openHolds: 1, windows: { rpm: 1, tpm: 25 }, budgets: { main: { spent: 0.25, held: 0 } } };
      assert.deepEqual(await standingOf(store, keyScope), after);
      assert.deepEqual((await standingOf(store, 'team:red')).budgets, after.budgets);
      const [row] = await store.usage({ groupBy: [] });
      assert.deepEqual([row?.requests, row?.costNanoUsd, row?.inputTokens], [1, 250_000_000, 20]);
      await store.cancel(alive);
    }),
  ),

  storeCase('ledger', 'a late settlement may cost more than was charged', async (session) => {
    const { store, clock } = session;
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold({ costUsd: 1, leaseMs });
    clock.advance(leaseMs);
    await store.sweep(10);
    await caller.settle(hold, { costUsd: 3 });
    assert.deepEqual((await standingOf(store, keyScope)).budgets, { main: { spent: 3, held: 0 } });
  }),

  storeCase('ledger', 'a process that paused longer than the lease goes on without a second slot', async (session) => {
    const { store, clock } = session;
    const caller = await createLimitedCaller(session);
    const paused = await caller.hold({ tokens: 10, costUsd: 1, leaseMs });
    clock.advance(leaseMs + minuteMs);
    const next = await caller.hold({ tokens: 10, costUsd: 1, leaseMs });
    assert.deepEqual(await store.renew(paused), { state: 'ended' });
    assert.equal((await caller.settle(paused, { costUsd: 2 })).state, 'late');
    assert.equal((await standingOf(store, keyScope)).openHolds, 1);
    assert.equal((await caller.refused()).by, `${keyScope}/parallel`);
    await caller.settle(next, { costUsd: 1 });
    assert.deepEqual((await standingOf(store, keyScope)).budgets, { main: { spent: 3, held: 0 } });
    const [row] = await store.usage({ groupBy: ['key'] });
    assert.deepEqual([row?.requests, row?.costNanoUsd], [2, 3_000_000_000]);
  }),

  storeCase('ledger', 'a cancellation after the lease gives the charge back, once', async (session) => {
    const { store, clock } = session;
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold({ tokens: 10, costUsd: 1, leaseMs });
    clock.advance(leaseMs);
    await store.sweep(10);
    assert.deepEqual(await store.cancel(hold), { state: 'cancelled' });
    assert.deepEqual(await store.cancel(hold), { state: 'already' });
    assert.equal((await caller.settle(hold, { costUsd: 1 })).state, 'already');
    assert.deepEqual(await standingOf(store, keyScope), nothingCounted);
    const [row] = await store.usage({ groupBy: [] });
    assert.equal(row?.costNanoUsd, 0);
  }),

  storeCase('ledger', 'an abandoned hold is remembered for an hour', async (session) => {
    const { store, clock } = session;
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold({ costUsd: 1, leaseMs });
    clock.advance(leaseMs);
    await store.sweep(10);
    clock.advance(hourMs - 1);
    assert.deepEqual(await caller.admit({ holdId: hold.holdId, costUsd: 1 }), { outcome: 'hold_ended' });
    assert.equal((await caller.settle(hold, { costUsd: 0.5 })).state, 'late');
    assert.equal((await caller.settle(hold, { costUsd: 0.5 })).state, 'already');
    assert.deepEqual((await standingOf(store, keyScope)).budgets, { main: { spent: 0.5, held: 0 } });
  }),
];
