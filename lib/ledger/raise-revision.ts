import { carryBudget, periodRetentionMs, pruneBudgets, type ScopeCounters } from '../limits/counters.ts';
import type { BudgetCarry } from '../limits/limit.ts';

/** Fences a scope with the revision of its record; budgets carry over in the same act. */
export function raiseRevision(
  counters: ScopeCounters,
  revision: number,
  carries: readonly BudgetCarry[],
  nowMs: number,
): void {
  counters.revision = Math.max(counters.revision, revision);
  for (const carry of carries) carryBudget(counters, carry);
  pruneBudgets(counters, nowMs, periodRetentionMs);
}
