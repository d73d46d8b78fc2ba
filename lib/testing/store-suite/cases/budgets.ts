import assert from 'node:assert/strict';
import { createKnownCaller, keyScope, keyWith, limited } from '../caller.ts';
import { concurrently } from '../concurrent.ts';
import { standingOf } from '../standing.ts';
import { type Session, type StoreCase, storeCase } from '../store-case.ts';
import { dayMs, hourMs } from '../test-clock.ts';

const usd = 1_000_000_000;

async function budgetsOf({ store }: Session) {
  return (await standingOf(store, keyScope)).budgets;
}

export const budgetCases: readonly StoreCase[] = [
  storeCase('ledger', 'real cost is recorded past the limit, and the next call is refused', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ maxBudgetNanoUsd: usd }));
    await caller.settle(await caller.hold({ costUsd: 0.9 }), { costUsd: 0.9 });
    await caller.settle(await caller.hold({ costUsd: 0.05 }), { costUsd: 0.51 });
    assert.deepEqual(await budgetsOf(session), { main: { spent: 1.41, held: 0 } });
    const refusal = { outcome: 'refused', by: `${keyScope}/main`, retryAfterMs: null };
    assert.deepEqual(await caller.refused({ costUsd: 0.000_000_001 }), refusal);
    assert.deepEqual(await caller.refused(), refusal);
  }),

  storeCase('ledger', 'ten times $0.10 are exactly $1.00', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ maxBudgetNanoUsd: usd }));
    for (let call = 0; call < 10; call += 1) {
      await caller.settle(await caller.hold({ costUsd: 0.1 }), { costUsd: 0.1 });
    }
    assert.deepEqual(await budgetsOf(session), { main: { spent: 1, held: 0 } });
    assert.equal((await caller.admit({ costUsd: 1e-9 })).outcome, 'refused');
    await caller.hold({ costUsd: 0 });
  }),

  storeCase('ledger', 'concurrent settlements lose no cent', async (session) => {
    const caller = await createKnownCaller(
      session,
      keyWith(),
      limited('global', { maxBudgetNanoUsd: 9_000_000 * usd }),
    );
    await concurrently(1000, async () => caller.settle(await caller.hold({ costUsd: 0.3 }), { costUsd: 1 }));
    assert.deepEqual(await budgetsOf(session), { main: { spent: 1000, held: 0 } });
    assert.deepEqual((await standingOf(session.store, 'global')).budgets, { main: { spent: 1000, held: 0 } });
  }),

  storeCase('ledger', 'amounts near the largest safe integer stay exact', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ maxBudgetNanoUsd: 9_000_000 * usd }));
    await caller.settle(await caller.hold(), { costUsd: 8_999_999.999_999_998 });
    const plan = caller.plan();
    const request = { ...caller.admitRequest({ plan }), amounts: { tokens: 0, costNanoUsd: 3 } };
    assert.equal((await session.store.admit(request)).outcome, 'refused');
    await session.store.admit({ ...request, holdId: 'fits', amounts: { tokens: 0, costNanoUsd: 2 } });
    const [balance] = await session.store.balances([keyScope]);
    assert.deepEqual(
      balance?.budgets.map(({ spentNanoUsd, heldNanoUsd }) => ({ spentNanoUsd, heldNanoUsd })),
      [{ spentNanoUsd: 8_999_999_999_999_998, heldNanoUsd: 2 }],
    );
  }),

  storeCase('ledger', 'a daily budget begins anew at midnight, and not a millisecond earlier', async (session) => {
    const { clock } = session;
    const caller = await createKnownCaller(session, keyWith({ maxBudgetNanoUsd: usd, budgetDuration: 'daily' }));
    await caller.settle(await caller.hold({ costUsd: 1 }), { costUsd: 1 });
    assert.equal((await caller.refused({ costUsd: 0.1 })).retryAfterMs, 12 * hourMs);
    clock.advance(12 * hourMs - 1);
    assert.equal((await caller.refused({ costUsd: 0.1 })).retryAfterMs, 1);
    clock.advance(1);
    await caller.hold({ costUsd: 0.1 });
    assert.deepEqual(await budgetsOf(session), {
      'main from 2026-01-15': { spent: 1, held: 0 },
      'main from 2026-01-16': { spent: 0, held: 0.1 },
    });
  }),

  storeCase('ledger', 'a call planned for another period is told the time of the store', async (session) => {
    const { clock } = session;
    const caller = await createKnownCaller(session, keyWith({ maxBudgetNanoUsd: usd, budgetDuration: 'daily' }));
    const plan = caller.plan();
    clock.advance(12 * hourMs);
    assert.deepEqual(await caller.admit({ plan }), { outcome: 'stale_clock', nowMs: clock.now() });
    const tomorrow = caller.plan();
    clock.advance(-1);
    assert.deepEqual(await caller.admit({ plan: tomorrow }), { outcome: 'stale_clock', nowMs: clock.now() });
    assert.equal((await caller.admit({ plan })).outcome, 'admitted');
  }),

  storeCase('ledger', 'a hold settles in the period in which it was taken', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ maxBudgetNanoUsd: usd, budgetDuration: 'daily' }));
    session.clock.advance(12 * hourMs - 1000);
    const settled = await caller.hold({ costUsd: 0.5 });
    const cancelled = await caller.hold({ costUsd: 0.5 });
    session.clock.advance(2000);
    await caller.settle(settled, { costUsd: 0.7 });
    await session.store.cancel(cancelled);
    assert.deepEqual(await budgetsOf(session), { 'main from 2026-01-15': { spent: 0.7, held: 0 } });
    await caller.hold({ costUsd: 1 });
  }),

  storeCase(
    'ledger',
    'a budget without a period is there after 400 days in which nobody touched it',
    async (session) => {
      const yearly = { maxBudgetNanoUsd: 2 * usd, budgetDuration: '500d' };
      const scope = keyWith({ maxBudgetNanoUsd: usd, budgets: [yearly] }, { anchorMs: session.clock.now() });
      const caller = await createKnownCaller(session, scope);
      await caller.settle(await caller.hold({ costUsd: 0.9 }), { costUsd: 0.9 });
      session.clock.advance(400 * dayMs);
      await session.store.sweep(1000);
      assert.equal((await caller.refused({ costUsd: 0.2 })).by, `${keyScope}/main`);
      assert.deepEqual(await budgetsOf(session), {
        main: { spent: 0.9, held: 0 },
        'extra/500d from 2026-01-15': { spent: 0.9, held: 0 },
      });
    },
  ),

  storeCase('ledger', 'several budgets of one key are all charged, and each refuses for itself', async (session) => {
    const limits = {
      maxBudgetNanoUsd: 10 * usd,
      budgetDuration: 'monthly',
      budgets: [
        { maxBudgetNanoUsd: 2 * usd, budgetDuration: 'daily' },
        { maxBudgetNanoUsd: usd, budgetDuration: '1h' },
      ],
    };
    const caller = await createKnownCaller(session, keyWith(limits, { anchorMs: session.clock.now() }));
    await caller.settle(await caller.hold({ costUsd: 1 }), { costUsd: 1 });
    assert.deepEqual(await caller.refused({ costUsd: 0.1 }), {
      outcome: 'refused',
      by: `${keyScope}/extra/1h`,
      retryAfterMs: hourMs,
    });
    session.clock.advance(hourMs);
    await caller.settle(await caller.hold({ costUsd: 1 }), { costUsd: 1 });
    assert.equal((await caller.refused({ costUsd: 0.1 })).by, `${keyScope}/extra/daily`);
    session.clock.advance(11 * hourMs);
    await caller.hold({ costUsd: 1 });
    assert.deepEqual((await budgetsOf(session))['main from 2026-01-01'], { spent: 2, held: 1 });
  }),
];
