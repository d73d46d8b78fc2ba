import { type BudgetCounter, findBudget, type ScopeCounters } from './counters.ts';
import type { ScopeId, Take } from './limit.ts';
import type { WindowCounter } from './window.ts';

/** The counters that calls of one plan take from, found by their names once for as long as they {@link stand}. */
export interface PlanCounters {
  /** By position of `plan.scopes`; `undefined`: nobody knows the scope. */
  readonly scopes: readonly (ScopeCounters | undefined)[];
  /** The layout that each of the scopes had. */
  readonly layouts: readonly number[];
  /** By position of `plan.limits` and `plan.takes`, as the next two: the scope, whose slots it may be. */
  readonly owners: readonly (ScopeCounters | undefined)[];
  /** `undefined`: it is no window, or nothing was counted in it yet. */
  readonly windows: readonly (WindowCounter | undefined)[];
  readonly budgets: readonly (BudgetCounter | undefined)[];
}

export function findCounters(
  scopes: readonly { readonly scopeId: ScopeId }[],
  takes: readonly Take[],
  find: (scopeId: ScopeId) => ScopeCounters | undefined,
): PlanCounters {
  const found = scopes.map(({ scopeId }) => find(scopeId));
  const owners = takes.map(({ scopeId }) => found[scopes.findIndex((scope) => scope.scopeId === scopeId)]);
  return {
    scopes: found,
    layouts: found.map((counters) => counters?.layout ?? 0),
    owners,
    windows: takes.map(({ id, windowMs }, position) => (windowMs > 0 ? owners[position]?.windows.get(id) : undefined)),
    budgets: takes.map(({ id, measure, periodStartMs }, position) => {
      const owner = owners[position];
      return measure === 'budget' && owner !== undefined ? findBudget(owner, id, periodStartMs) : undefined;
    }),
  };
}

/** Whether the names still lead to these counters. */
export function stand({ scopes, layouts }: PlanCounters): boolean {
  for (let index = 0; index < scopes.length; index += 1) {
    if (scopes[index]?.layout !== layouts[index]) return false;
  }
  return true;
}
