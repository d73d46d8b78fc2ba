import { type BudgetCounter, findBudget, type ScopeCounters } from './counters.ts';
import type { ScopeId, Take } from './limit.ts';
import type { WindowCounter } from './window.ts';

/** The counters that calls of one plan take from, found by their names once for as long as they {@link stand}. */
export interface PlanCounters {
  /** `plan.scopes`. */
  readonly planned: readonly NamedScope[];
  /** By position of these; `undefined`: nobody knows the scope. */
  readonly scopes: readonly (ScopeCounters | undefined)[];
  /** The layout that each of the scopes had. */
  readonly layouts: readonly number[];
  /** By position of `plan.limits` and `plan.takes`, as the next two: the scope, whose slots it may be. */
  readonly owners: readonly (ScopeCounters | undefined)[];
  /** `undefined`: it is no window, or nothing was counted in it yet. */
  readonly windows: readonly (WindowCounter | undefined)[];
  readonly budgets: readonly (BudgetCounter | undefined)[];
}

interface NamedScope {
  readonly scopeId: ScopeId;
}

type Find = (scopeId: ScopeId) => ScopeCounters | undefined;

export function findCounters(planned: readonly NamedScope[], takes: readonly Take[], find: Find): PlanCounters {
  const scopes = planned.map(({ scopeId }) => find(scopeId));
  const owners = takes.map(({ scopeId }) => scopes[planned.findIndex((scope) => scope.scopeId === scopeId)]);
  return {
    planned,
    scopes,
    layouts: scopes.map((counters) => counters?.layout ?? 0),
    owners,
    windows: takes.map(({ id, windowMs }, position) => (windowMs > 0 ? owners[position]?.windows.get(id) : undefined)),
    budgets: takes.map(({ id, measure, periodStartMs }, position) => {
      const owner = owners[position];
      return measure === 'budget' && owner !== undefined ? findBudget(owner, id, periodStartMs) : undefined;
    }),
  };
}

/** Whether the names still lead to these counters. */
export function stand({ planned, scopes, layouts }: PlanCounters, find: Find): boolean {
  for (let index = 0; index < planned.length; index += 1) {
    const counters = scopes[index];
    if (counters !== undefined) {
      if (counters.layout !== layouts[index]) return false;
    } else {
      const scope = planned[index];
      if (scope !== undefined && find(scope.scopeId) !== undefined) return false;
    }
  }
  return true;
}
