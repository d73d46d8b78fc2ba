import { type BudgetCounter, type Correction, correct, type ScopeCounters } from '../limits/counters.ts';
import type { AdmissionPlan, ScopeId, Take } from '../limits/limit.ts';
import { findCounters, type PlanCounters, stand } from '../limits/plan-counters.ts';
import { rollWindow } from '../limits/window.ts';
import type { ChargedBudget, Hold, ScopeBalance, SettleRequest, StoreNotice } from '../stores/store.ts';
import type { Scopes } from './places.ts';

/** The counters of all scopes, as calls change them. */
export interface Counting {
  readonly scopes: Scopes;
  /** Those that calls of the plan take from. Kept for as long as they stand: a plan comes again with most calls. */
  countersOf(plan: AdmissionPlan): PlanCounters;
  /** Those that a call took from. */
  countersOfTakes(takes: readonly Take[]): PlanCounters;
  onClockJump(scopeId: ScopeId, limitId: string): void;
  /** Brings a window up to the present; whoever notices a step of the clock first tells of it. */
  roll(counters: ScopeCounters, limitId: string, nowMs: number): void;
  /** Corrects all that a call took; answers the budgets whose spending it changed. */
  correctAll(hold: Hold, correction: Correction, nowMs: number): readonly ChargedBudget[];
  balance(scopeId: ScopeId, nowMs: number): ScopeBalance | undefined;
}

export function createCounting(scopes: Scopes, notify: (notice: StoreNotice) => void): Counting {
  function onClockJump(scopeId: ScopeId, limitId: string): void {
    notify({ type: 'clock_jump', scopeId, limitId });
  }

  function roll({ scopeId, windows }: ScopeCounters, limitId: string, nowMs: number): void {
    const window = windows.get(limitId);
    if (window !== undefined && rollWindow(window, nowMs)) onClockJump(scopeId, limitId);
  }

  // By the takes, which a plan shares with the holds under it.
  const kept = new WeakMap<readonly Take[], PlanCounters>();

  function countersOf({ scopes: planned, takes }: AdmissionPlan): PlanCounters {
    const known = kept.get(takes);
    if (known !== undefined && known.planned === planned && stand(known, scopes.find)) return known;
    const found = findCounters(planned, takes, scopes.find);
    kept.set(takes, found);
    return found;
  }

  function countersOfTakes(takes: readonly Take[]): PlanCounters {
    const known = kept.get(takes);
    return known !== undefined && stand(known, scopes.find) ? known : findCounters(takes, takes, scopes.find);
  }

  function correctAll({ takes }: Hold, correction: Correction, nowMs: number): readonly ChargedBudget[] {
    const { owners, windows, budgets } = countersOfTakes(takes);
    let charged = nothingCharged;
    for (let position = 0; position < takes.length; position += 1) {
      const taken = takes[position];
      const owner = owners[position];
      // A scope that the ledger has lost opens with what the usage record says, this call included.
      if (taken === undefined || owner === undefined) continue;
      const window = windows[position];
      if (window !== undefined && rollWindow(window, nowMs)) onClockJump(taken.scopeId, taken.id);
      const budget = correct(owner, taken, correction, nowMs, { window, budget: budgets[position] });
      if (budget === undefined || correction.spentNanoUsd === 0) continue;
      if (charged === nothingCharged) charged = [];
      charged.push(chargedBudget(owner, budget));
    }
    return charged;
  }

  return {
    scopes,
    countersOf,
    countersOfTakes,
    onClockJump,
    roll,
    correctAll,
    balance(scopeId, nowMs) {
      const counters = scopes.find(scopeId);
      if (counters === undefined) return undefined;
      for (const limitId of counters.windows.keys()) roll(counters, limitId, nowMs);
      return balanceOf(counters);
    },
  };
}

// One for all, since most corrections of a budget without a price change none.
const nothingCharged: ChargedBudget[] = [];

export function chargedBudget({ scopeId }: ScopeCounters, budget: BudgetCounter): ChargedBudget {
  const { budgetId, periodStartMs, spentNanoUsd } = budget;
  return { scopeId, budgetId, periodStartMs, spentNanoUsd };
}

/** The correction after which nothing counts for a call any more. */
export function uncounted({ atMs, amounts }: Hold): Correction {
  return {
    takenAtMs: atMs,
    countedTokens: amounts.tokens,
    tokens: 0,
    heldNanoUsd: amounts.costNanoUsd,
    spentNanoUsd: 0,
  };
}

/** The correction after which the true usage counts instead of what counted until now. */
export function charge(
  { usage, costNanoUsd, hold }: SettleRequest,
  counted: { countedTokens: number; chargedNanoUsd: number; heldNanoUsd: number },
  takenAtMs = hold.atMs,
): Correction {
  return {
    takenAtMs,
    countedTokens: counted.countedTokens,
    tokens: usage.inputTokens + usage.outputTokens,
    heldNanoUsd: counted.heldNanoUsd,
    spentNanoUsd: costNanoUsd - counted.chargedNanoUsd,
  };
}

/** Of counters that were rolled. */
function balanceOf(counters: ScopeCounters): ScopeBalance {
  const windows = [...counters.windows.values()].map(({ id, windowMs, total }) => ({ id, windowMs, used: total }));
  // A counter that was carried on shows under the period that took it over.
  const budgets = counters.budgets
    .filter(({ movedTo }) => movedTo === null)
    .map(({ budgetId, periodStartMs, spentNanoUsd, heldNanoUsd }) => ({
      budgetId,
      periodStartMs,
      spentNanoUsd,
      heldNanoUsd,
    }));
  const { scopeId, revision, openHolds } = counters;
  return { scopeId, revision, windows, openHolds, budgets };
}
