import { budgetPeriod, budgetsOf, type NamedBudget } from '../limits/plan.ts';
import type { ScopeBalance } from '../stores/store.ts';
import type { VirtualKeyRecord } from './virtual-key.ts';

/** What a key has spent and holds in the period that its shown spend is for. */
export interface KeySpend {
  readonly spentNanoUsd: number;
  readonly heldNanoUsd: number;
  /** The budget that the spend is shown against; `null`: none. */
  readonly limitNanoUsd: number | null;
  /** Any budget of the key has nothing left. */
  readonly exceeded: boolean;
  readonly resetAtMs: number | null;
  /** The ledger does not answer; see `ScopeBalance`. */
  readonly isApproximate: boolean;
}

/**
 * The budgets of a key, first the one whose spend is shown: `maxBudget`, or the period that `budgetDuration` alone sets;
 * else the first of `budgets`; else the whole life.
 */
export function spendFirst(key: VirtualKeyRecord): readonly NamedBudget[] {
  const budgets = budgetsOf(key);
  const showsMain = key.maxBudgetNanoUsd !== null || key.budgetDuration !== null || key.budgets.length === 0;
  if (showsMain) return budgets;
  const [main, first, ...rest] = budgets;
  return main === undefined || first === undefined ? budgets : [first, main, ...rest];
}

export function keySpend(key: VirtualKeyRecord, balance: ScopeBalance | undefined, nowMs: number): KeySpend {
  const counted = spendFirst(key).map((budget) => {
    const { startMs, endMs } = budgetPeriod(budget, key.createdAtMs, nowMs);
    const counter = balance?.budgets.find((b) => b.budgetId === budget.id && b.periodStartMs === startMs);
    return {
      limit: budget.limit,
      spent: counter?.spentNanoUsd ?? 0,
      held: counter?.heldNanoUsd ?? 0,
      endMs,
    };
  });
  const shown = counted[0];
  return {
    spentNanoUsd: shown?.spent ?? 0,
    heldNanoUsd: shown?.held ?? 0,
    limitNanoUsd: shown?.limit ?? null,
    exceeded: counted.some(({ limit, spent }) => limit !== null && spent >= limit),
    resetAtMs: shown?.endMs ?? null,
    isApproximate: balance?.isApproximate === true,
  };
}
