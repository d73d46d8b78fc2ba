import { findBudget, openBudget } from '../limits/counters.ts';
import type { AdmissionPlan } from '../limits/limit.ts';
import type { Adjustment, ChargedBudget } from '../stores/store.ts';
import type { UsageEvent } from '../usage/usage.ts';
import { chargedBudget } from './counting.ts';
import type { Scopes, UsageLines } from './places.ts';
import { adjustmentEvent } from './usage-lines.ts';

/** Money that comes or goes without a hold. Whoever asks makes sure that each happens once. */
export interface Accounting {
  /** Sets what the budgets have spent to zero; answers what the first of them had. */
  adjust(adjustment: Adjustment, nowMs: number): number;
  /** Charges usage that was measured elsewhere to every budget of the plan that is known. */
  record(event: UsageEvent, plan: AdmissionPlan, nowMs: number): readonly ChargedBudget[];
}

export function createAccounting(scopes: Pick<Scopes, 'find'>, usage: UsageLines): Accounting {
  return {
    adjust({ id, scopeId, budgets, subject }, nowMs) {
      const counters = scopes.find(scopeId);
      const adjusted = budgets.map(({ budgetId, periodStartMs }) => {
        const budget = counters && findBudget(counters, budgetId, periodStartMs);
        const spent = budget?.spentNanoUsd ?? 0;
        if (budget !== undefined) budget.spentNanoUsd = 0;
        return spent;
      });
      const adjustedNanoUsd = adjusted[0] ?? 0;
      if (adjustedNanoUsd !== 0) usage.append(adjustmentEvent(id, subject, -adjustedNanoUsd, nowMs));
      return adjustedNanoUsd;
    },

    record(event, plan, nowMs) {
      const charged = plan.limits.flatMap((limit) => {
        const counters = scopes.find(limit.scopeId);
        if (limit.measure !== 'budget' || counters === undefined || event.costNanoUsd === 0) return [];
        const budget = openBudget(counters, limit.id, limit, nowMs);
        budget.spentNanoUsd += event.costNanoUsd;
        return [chargedBudget(counters, budget)];
      });
      usage.append(event);
      return charged;
    },
  };
}
