import assert from 'node:assert/strict';
import type { Limits } from '../../../limits/limit.ts';
import { createKnownCaller, keyScope, keyWith, type Wish } from '../caller.ts';
import { standingOf } from '../standing.ts';
import { type StoreCase, storeCase } from '../store-case.ts';

/** Free calls are blocked, too. */
const blocked: readonly { readonly id: string; readonly limits: Partial<Limits>; readonly wish?: Wish }[] = [
  { id: 'rpm', limits: { rpmLimit: 0 } },
  { id: 'rpd', limits: { rpdLimit: 0 } },
  { id: 'tpm', limits: { tpmLimit: 0 } },
  { id: 'tpd', limits: { tpdLimit: 0 } },
  { id: 'parallel', limits: { maxParallelRequests: 0 } },
  { id: 'main', limits: { maxBudgetNanoUsd: 0, budgetDuration: 'daily' } },
  { id: 'extra/monthly', limits: { budgets: [{ maxBudgetNanoUsd: 0, budgetDuration: 'monthly' }] } },
  {
    id: 'budget/gpt-*',
    limits: {
      modelLimits: [
        { model: 'gpt-*', rpmLimit: null, tpmLimit: null, maxBudget: { maxBudgetNanoUsd: 0, budgetDuration: 'total' } },
      ],
    },
  },
  {
    id: 'rpm/gpt-4o',
    limits: { modelLimits: [{ model: 'gpt-4o', rpmLimit: 0, tpmLimit: null, maxBudget: null }] },
  },
  { id: 'tpm/*', limits: { modelLimits: [{ model: '*', rpmLimit: null, tpmLimit: 0, maxBudget: null }] } },
];

export const blockingCases: readonly StoreCase[] = [
  ...blocked.map(({ id, limits }) =>
    storeCase('ledger', `a limit of 0 blocks: ${id}`, async (session) => {
      const caller = await createKnownCaller(session, keyWith(limits));
      const forGood = { outcome: 'refused', by: `${keyScope}/${id}`, retryAfterMs: null };
      assert.deepEqual(await caller.refused(), forGood);
      session.clock.advance(100 * 86_400_000);
      assert.deepEqual(await caller.refused({ tokens: 5, costUsd: 0.01 }), forGood);
    }),
  ),

  storeCase(
    'ledger',
    'without any limit everything is admitted, and the spend of the key is counted',
    async (session) => {
      const caller = await createKnownCaller(session, keyWith());
      const { hold, remaining } = await caller.admitted({ tokens: 1e9, costUsd: 4_000_000 });
      assert.deepEqual(remaining, [Infinity, Infinity]);
      await caller.settle(hold, { inputTokens: 1e9, costUsd: 4_000_000 });
      await caller.hold({ costUsd: 4_000_000 });
      assert.deepEqual(await standingOf(session.store, keyScope), {
        openHolds: 1,
        windows: {},
        budgets: { main: { spent: 4_000_000, held: 4_000_000 } },
      });
    },
  ),

  storeCase('ledger', 'a key whose rates are not enforced is counted, and its money holds', async (session) => {
    const limits = { rpmLimit: 5, tpmLimit: 0, maxParallelRequests: 1, maxBudgetNanoUsd: 20 };
    const caller = await createKnownCaller(session, keyWith(limits, { rateLimitEnabled: false }));
    for (let call = 0; call < 20; call += 1) await caller.hold({ tokens: 10, costUsd: 1e-9 });
    assert.deepEqual(await standingOf(session.store, keyScope), {
      openHolds: 20,
      windows: { rpm: 20, tpm: 200 },
      budgets: { main: { spent: 0, held: 20e-9 } },
    });
    assert.equal((await caller.refused({ costUsd: 1e-9 })).by, `${keyScope}/main`);
  }),
];
