import assert from 'node:assert/strict';
import type { ChargedBudget } from '../../../stores/store.ts';
import { nanoUsd } from '../../../usage/money.ts';
import { createKnownCaller, keyId, keyScope, keyWith, limited } from '../caller.ts';
import { type Session, type StoreCase, storeCase } from '../store-case.ts';
import { dayMs, minuteMs } from '../test-clock.ts';

const today = Date.UTC(2026, 0, 15);
const ofKey = { maxBudgetNanoUsd: nanoUsd(10), budgetDuration: 'daily', rpmLimit: 10 };
const ofTeam = {
  modelLimits: [
    { model: 'gpt-*', rpmLimit: null, tpmLimit: null, maxBudget: { ...ofKey, budgetDuration: 'total' } },
    { model: 'claude-*', rpmLimit: null, tpmLimit: null, maxBudget: { ...ofKey, budgetDuration: 'total' } },
  ],
};

function createBudgetedCaller(session: Session) {
  return createKnownCaller(session, keyWith(ofKey), limited('team:red', ofTeam), limited('global'));
}

/** That of the key and that of the team's models, each with what it has spent in USD. */
function charged(spentOfKey: number, spentOfTeam: number, periodStartMs = today): readonly ChargedBudget[] {
  return [
    { scopeId: keyScope, budgetId: 'main', periodStartMs, spentNanoUsd: nanoUsd(spentOfKey) },
    { scopeId: 'team:red', budgetId: 'budget/gpt-*', periodStartMs: 0, spentNanoUsd: nanoUsd(spentOfTeam) },
  ];
}

export const chargedBudgetCases: readonly StoreCase[] = [
  storeCase('ledger', 'a settlement tells how every budget stands that it charged', async (session) => {
    const caller = await createBudgetedCaller(session);
    const [first, second] = [await caller.hold({ costUsd: 3 }), await caller.hold({ costUsd: 3 })];
    assert.deepEqual((await caller.settle(first, { costUsd: 1 })).charged, charged(1, 1));
    assert.deepEqual((await caller.settle(second, { costUsd: 2.5 })).charged, charged(3.5, 3.5));
    assert.deepEqual((await caller.settle(second, { costUsd: 2.5 })).charged, []);
    session.clock.advance(dayMs);
    const next = await caller.hold();
    assert.deepEqual((await caller.settle(next, { costUsd: 1 })).charged, charged(1, 4.5, today + dayMs));
  }),

  storeCase('ledger', 'a settlement that costs nothing charges no budget', async (session) => {
    const caller = await createBudgetedCaller(session);
    assert.deepEqual((await caller.settle(await caller.hold({ costUsd: 3 }))).charged, []);
  }),

  storeCase(
    'ledger',
    'the end of a lease tells what it charged, and a late settlement what it changed',
    async (session) => {
      const { store, clock, notices } = session;
      const caller = await createBudgetedCaller(session);
      const [dear, cheap] = [await caller.hold({ costUsd: 2 }), await caller.hold({ costUsd: 1 })];
      await caller.hold({ costUsd: 1, onAbandoned: 'release' });
      clock.advance(2 * minuteMs);
      await store.sweep(10);
      assert.deepEqual(
        notices.flatMap((notice) => (notice.type === 'abandoned' ? [notice.charged] : [])),
        [charged(2, 2), charged(3, 3), []],
      );
      assert.deepEqual((await caller.settle(dear, { costUsd: 1.5 })).charged, charged(2.5, 2.5));
      assert.deepEqual((await caller.settle(cheap, { costUsd: 1 })).charged, []);
    },
  ),

  storeCase('ledger', 'a settlement whose hold is lost tells what it charged', async (session) => {
    const caller = await createBudgetedCaller(session);
    const hold = { ...(await caller.hold()), holdId: 'lost' };
    const { state, charged: budgets } = await caller.settle(hold, { costUsd: 2 });
    assert.deepEqual([state, budgets], ['lost_hold', charged(2, 2)]);
  }),

  storeCase('ledger', 'usage measured elsewhere tells what it charged', async (session) => {
    const { store, clock } = session;
    const caller = await createBudgetedCaller(session);
    const { event } = await caller.settle(await caller.hold(), { costUsd: 1 });
    const external = { keyId, holdId: 'external:job-1', source: 'external', atMs: clock.now() } as const;
    const measured = { ...(event ?? assert.fail('no event')), ...external };
    const plan = caller.plan();
    assert.deepEqual(await store.record(measured, plan), { state: 'recorded', charged: charged(2, 2) });
    assert.deepEqual(await store.record(measured, plan), { state: 'already', charged: [] });
  }),
];
