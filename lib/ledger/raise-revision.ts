import { carryBudget, periodRetentionMs, pruneBudgets, type ScopeCounters } from '../limits/counters.ts';
import type { BudgetCarry } from '../limits/limit.ts';

/** Fences a scope with the revision of its record; budgets carry over in the same act. */
export function raiseRevision(
  counters: ScopeCounters,
  revision: number,
  carries: readonly BudgetCarry[],
  nowMs: number,
): void {
  const isOvertaken = counters.revision > counters.carriedRevision;
  counters.revision = Math.max(counters.revision, revision);
  counters.carriedRevision = Math.max(counters.carriedRevision, revision);
  for (const carry of carries) carryBudget(counters, carry, { nowMs, isOvertaken });
  pruneBudgets(counters, nowMs, periodRetentionMs);
}
