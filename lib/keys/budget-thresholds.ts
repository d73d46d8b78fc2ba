import type { Limits } from '../limits/limit.ts';
import { budgetsOf, type NamedBudget } from '../limits/plan.ts';

const warningPercents = [95, 90, 80];

/** An amount that makes an alert once it is spent. */
export interface Threshold {
  readonly type: 'budget.warning' | 'budget.exceeded';
  readonly amountNanoUsd: number;
  /** What part of the limit it is; `null`: it is the soft budget. */
  readonly percent: number | null;
}

/** A budget with its thresholds, the one that matters most first. */
export interface WatchedBudget extends NamedBudget {
  readonly thresholds: readonly Threshold[];
}

/** Records don't change, and so neither do the thresholds of their budgets. */
const watchedOf = new WeakMap<Limits, ReadonlyMap<string, WatchedBudget>>();

/** The budgets of a key or policy, by the name of their counter. */
export function watchedBudgets(limits: Limits): ReadonlyMap<string, WatchedBudget> {
  const existing = watchedOf.get(limits);
  if (existing !== undefined) return existing;
  const watched = budgetsOf(limits).map((budget): [string, WatchedBudget] => {
    const soft = budget.id === 'main' ? limits.softBudgetNanoUsd : null;
    return [budget.id, { ...budget, thresholds: thresholdsOf(budget.limit, soft) }];
  });
  const byId = new Map(watched);
  watchedOf.set(limits, byId);
  return byId;
}

/**
 * The threshold that this spending has reached. Of several it is one alone: the limit before any warning, and of the
 * warnings the highest, so that one dear call makes one alert.
 */
export function reachedThreshold({ thresholds }: WatchedBudget, spentNanoUsd: number): Threshold | undefined {
  return thresholds.find(({ amountNanoUsd }) => spentNanoUsd >= amountNanoUsd);
}

function thresholdsOf(limit: number | null, soft: number | null): readonly Threshold[] {
  const warnings: Threshold[] = [];
  // The soft budget is the operator's own choice: it stands for a part of the limit that is the same amount.
  if (soft !== null) warnings.push({ type: 'budget.warning', amountNanoUsd: soft, percent: null });
  if (limit === null) return warnings;
  for (const percent of warningPercents) {
    warnings.push({ type: 'budget.warning', amountNanoUsd: Math.ceil((limit / 100) * percent), percent });
  }
  warnings.sort((a, b) => b.amountNanoUsd - a.amountNanoUsd);
  return [{ type: 'budget.exceeded', amountNanoUsd: limit, percent: 100 }, ...warnings];
}
