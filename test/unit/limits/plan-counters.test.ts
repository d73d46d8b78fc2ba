import assert from 'node:assert/strict';
import {
  carryBudget,
  createCounters,
  openBudget,
  pruneBudgets,
  type ScopeCounters,
  windowOf,
} from '../../../lib/limits/counters.ts';
import { type AdmissionPlan, noLimits, type ScopeId } from '../../../lib/limits/limit.ts';
import { createPlan } from '../../../lib/limits/plan.ts';
import { findCounters, type PlanCounters, stand } from '../../../lib/limits/plan-counters.ts';

const nowMs = Date.UTC(2026, 0, 15, 12);
const dayMs = 86_400_000;
const today = { periodStartMs: nowMs - dayMs / 2, periodEndMs: nowMs + dayMs / 2 };

function planOf(...scopeIds: readonly ScopeId[]): AdmissionPlan {
  const limits = { ...noLimits, rpmLimit: 1, maxBudgetNanoUsd: 5, budgetDuration: 'daily' } as const;
  const scopes = scopeIds.map((id) => ({ scopeId: id, revision: 0, limits, anchorMs: 0, rateLimitEnabled: true }));
  return createPlan(scopes, 'gpt-4o', nowMs);
}

describe('stand', () => {
  let scopes: Map<ScopeId, ScopeCounters>;
  let key: ScopeCounters;
  let found: PlanCounters;
  const plan = planOf('key:a', 'team:red');
  const find = (scopeId: ScopeId) => scopes.get(scopeId);

  beforeEach(() => {
    key = createCounters('key:a', 1);
    windowOf(key, 'rpm', 60_000);
    openBudget(key, 'main', today, nowMs);
    scopes = new Map([['key:a', key]]);
    found = findCounters(plan.scopes, plan.takes, find);
  });

  it('holds while counters are found that the plan names, whatever they count', () => {
    const { owners, windows, budgets } = found;
    assert.deepEqual([owners[0], windows[0], budgets[2]], [key, windowOf(key, 'rpm', 60_000), key.budgets[0]]);
    key.openHolds += 1;
    key.revision += 1;
    openBudget(key, 'main', today, nowMs).spentNanoUsd += 5;
    assert.equal(stand(found, find), true);
  });

  for (const [change, make] of [
    ['a window is new', () => windowOf(key, 'tpm', 60_000)],
    ['a budget is new', () => openBudget(key, 'extra/hourly', today, nowMs)],
    [
      'a budget is carried over',
      () => {
        const from = { budgetId: 'main', periodStartMs: today.periodStartMs };
        const carry = { budgetId: 'main', from, periodStartMs: 0, periodEndMs: null, openingNanoUsd: 0 };
        carryBudget(key, carry, { nowMs, isOvertaken: false });
      },
    ],
    ['a budget is forgotten', () => pruneBudgets(key, nowMs + 2 * dayMs, dayMs)],
    ['an unknown scope becomes known', () => scopes.set('team:red', createCounters('team:red', 0))],
  ] as const) {
    it(`ends when ${change}`, () => {
      make();
      assert.equal(stand(found, find), false);
    });
  }
});
