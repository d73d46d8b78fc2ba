import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Adjustment } from '../../../stores/store.ts';
import { createKnownCaller, keyId, keyScope, keyWith } from '../caller.ts';
import { concurrently } from '../concurrent.ts';
import { sampleAudit } from '../sample-records.ts';
import { standingOf } from '../standing.ts';
import { type StoreCase, storeCase } from '../store-case.ts';
import { secondMs } from '../test-clock.ts';

const limits = {
  maxBudgetNanoUsd: 2_000_000_000,
  budgets: [{ maxBudgetNanoUsd: 5_000_000_000, budgetDuration: 'monthly' }],
};
const monthStartMs = Date.UTC(2026, 0);

function reset(fields: Partial<Adjustment> = {}): Adjustment {
  return {
    id: randomUUID(),
    scopeId: keyScope,
    budgets: [
      { budgetId: 'main', periodStartMs: 0 },
      { budgetId: 'extra/monthly', periodStartMs: monthStartMs },
    ],
    subject: { keyId, ownerId: 'ann', teamId: 'red', model: null, endpoint: null },
    audit: sampleAudit({ action: 'key.spend_reset', target: keyScope }),
    ...fields,
  };
}

export const adjustmentCases: readonly StoreCase[] = [
  storeCase('ledger', 'a reset of spend leaves what is held, and later settlements count in full', async (session) => {
    const { store } = session;
    const caller = await createKnownCaller(session, keyWith(limits));
    await caller.settle(await caller.hold({ costUsd: 1 }), { costUsd: 1 });
    const holds = await concurrently(10, () => caller.hold({ costUsd: 0.1 }));
    assert.deepEqual(await store.adjust(reset()), { state: 'adjusted', adjustedNanoUsd: 1_000_000_000 });
    const held = { spent: 0, held: 1 };
    const month = 'extra/monthly from 2026-01-01';
    assert.deepEqual((await standingOf(store, keyScope)).budgets, { main: held, [month]: held });
    assert.equal((await caller.admit({ costUsd: 1.1 })).outcome, 'refused');
    for (const hold of holds) await caller.settle(hold, { costUsd: 0.05 });
    const settled = { spent: 0.5, held: 0 };
    assert.deepEqual((await standingOf(store, keyScope)).budgets, { main: settled, [month]: settled });
  }),

  storeCase('ledger', 'what a lost call was charged before a reset is not given back after it', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith(limits));
    const [settled, cancelled] = await concurrently(2, () => caller.hold({ costUsd: 0.9, leaseMs: secondMs }));
    if (settled === undefined || cancelled === undefined) assert.fail('both are held');
    clock.advance(secondMs);
    assert.equal(await store.sweep(10), 2);
    assert.deepEqual(await store.adjust(reset()), { state: 'adjusted', adjustedNanoUsd: 1_800_000_000 });
    assert.equal((await caller.settle(settled, { costUsd: 0.1 })).state, 'late');
    assert.deepEqual(await store.cancel(cancelled), { state: 'cancelled' });
    assert.deepEqual((await standingOf(store, keyScope)).budgets, {});
    assert.equal((await caller.refused({ costUsd: 2.1 })).by, `${keyScope}/main`);
  }),

  storeCase('ledger', 'a reset is in the usage record as its opposite, and counts no request', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith(limits));
    await caller.settle(await caller.hold(), { inputTokens: 3, costUsd: 1 });
    const adjustment = reset();
    await store.adjust(adjustment);
    const { events } = await store.usageEvents(null, 10);
    assert.deepEqual(events[1], {
      ...adjustment.subject,
      holdId: adjustment.id,
      callId: '',
      source: 'adjustment',
      requests: 0,
      inputTokens: 0,
      outputTokens: 0,
      cacheReadTokens: 0,
      cacheWriteTokens: 0,
      costNanoUsd: -1_000_000_000,
      atMs: clock.now(),
      trace: null,
    });
    const [row] = await store.usage({ keyId: adjustment.subject.keyId, groupBy: [] });
    assert.deepEqual([row?.requests, row?.inputTokens, row?.costNanoUsd], [1, 3, 0]);
  }),

  storeCase(
    'ledger',
    'a reset of a key leaves the sums over its owner, its team and all as they were',
    async (session) => {
      const { store } = session;
      const caller = await createKnownCaller(session, keyWith(limits));
      await caller.settle(await caller.hold(), { inputTokens: 3, costUsd: 1 });
      const sums = () =>
        Promise.all(
          [{ ownerIds: ['ann'] }, { teamIds: ['red'] }, {}].map((whose) => store.usage({ ...whose, groupBy: [] })),
        );
      const before = await sums();
      assert.deepEqual(
        before.map(([row]) => row?.costNanoUsd),
        [1_000_000_000, 1_000_000_000, 1_000_000_000],
      );
      await store.adjust(reset());
      assert.deepEqual(await sums(), before);
    },
  ),

  storeCase('ledger', 'a reset that is repeated changes nothing', async (session) => {
    const { store } = session;
    const caller = await createKnownCaller(session, keyWith(limits));
    await caller.settle(await caller.hold(), { costUsd: 1 });
    const adjustment = reset();
    await store.adjust(adjustment);
    await caller.settle(await caller.hold(), { costUsd: 0.25 });
    assert.deepEqual(await store.adjust(adjustment), { state: 'already', adjustedNanoUsd: 0 });
    assert.deepEqual((await standingOf(store, keyScope)).budgets.main, { spent: 0.25, held: 0 });
    assert.equal((await store.usageEvents(null, 10)).events.length, 3);
  }),

  storeCase('ledger', 'a reset of what was never spent is no event', async (session) => {
    const { store } = session;
    await createKnownCaller(session, keyWith(limits));
    assert.deepEqual(await store.adjust(reset()), { state: 'adjusted', adjustedNanoUsd: 0 });
    assert.deepEqual((await store.usageEvents(null, 10)).events, []);
  }),

  storeCase('store', 'a reset leaves one audit row', async (session) => {
    const { store, clock } = session;
    await createKnownCaller(session, keyWith(limits));
    const adjustment = reset();
    await store.adjust(adjustment);
    await store.adjust(adjustment);
    const { items } = await store.listAudit({ targets: [keyScope] }, { limit: 10 });
    assert.deepEqual(items, [{ ...adjustment.audit, atMs: clock.now() }]);
  }),
];
