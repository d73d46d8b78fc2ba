import type { BudgetCarry } from '../stores/store.ts';
import type { ScopeId, Take } from './limit.ts';
import {
  createWindow,
  giveBackToWindow,
  returnableFromWindow,
  rollWindow,
  takeFromWindow,
  type WindowCounter,
} from './window.ts';

/** Money of one budget in one period. */
export interface BudgetCounter {
  readonly budgetId: string;
  readonly periodStartMs: number;
  readonly periodEndMs: number | null;
  spentNanoUsd: number;
  heldNanoUsd: number;
  /** The counter that took this one over when the budget's period was changed: what still comes goes there. */
  movedTo: BudgetCounter | null;
}

/** All that is counted in one scope, and the fence of its record. */
export interface ScopeCounters {
  readonly scopeId: ScopeId;
  /** Requests judged under an older revision are stale. */
  revision: number;
  /** The record is gone: nothing is admitted, late settlements still count. */
  closed: boolean;
  readonly windows: Map<string, WindowCounter>;
  openHolds: number;
  budgets: BudgetCounter[];
}

export function createCounters(scopeId: ScopeId, revision: number): ScopeCounters {
  return { scopeId, revision, closed: false, windows: new Map(), openHolds: 0, budgets: [] };
}

export function findBudget(
  counters: ScopeCounters,
  budgetId: string,
  periodStartMs: number,
): BudgetCounter | undefined {
  for (const budget of counters.budgets) {
    if (budget.periodStartMs !== periodStartMs || budget.budgetId !== budgetId) continue;
    return latest(budget);
  }
  return undefined;
}

// A budget that was carried back and forth ends where it was carried last; `carryBudget` keeps the way free of circles.
function latest(budget: BudgetCounter): BudgetCounter {
  let current = budget;
  while (current.movedTo !== null) current = current.movedTo;
  return current;
}

export function windowOf(counters: ScopeCounters, id: string, windowMs: number): WindowCounter {
  const existing = counters.windows.get(id);
  if (existing !== undefined) return existing;
  const window = createWindow(id, windowMs);
  counters.windows.set(id, window);
  return window;
}

export function budgetOf(
  counters: ScopeCounters,
  budgetId: string,
  periodStartMs: number,
  periodEndMs: number | null,
): BudgetCounter {
  const existing = findBudget(counters, budgetId, periodStartMs);
  if (existing !== undefined) return existing;
  const budget = { budgetId, periodStartMs, periodEndMs, spentNanoUsd: 0, heldNanoUsd: 0, movedTo: null };
  counters.budgets.push(budget);
  return budget;
}

/**
 * Opens a budget's counter under its new period: with what the one before had spent and holds, or with what the usage
 * record says, whichever is more. So no change of a duration makes money free, and none counts it twice.
 */
export function carryBudget(counters: ScopeCounters, carry: BudgetCarry): void {
  const target = exactBudget(counters, carry.budgetId, carry.periodStartMs, carry.periodEndMs);
  const source = carry.from === null ? undefined : findBudget(counters, carry.from.budgetId, carry.from.periodStartMs);
  if (source === target) return;
  target.movedTo = null;
  target.spentNanoUsd = Math.max(target.spentNanoUsd, source?.spentNanoUsd ?? 0, carry.openingNanoUsd);
  if (source === undefined) return;
  target.heldNanoUsd += source.heldNanoUsd;
  source.heldNanoUsd = 0;
  source.movedTo = target;
}

function exactBudget(
  counters: ScopeCounters,
  budgetId: string,
  periodStartMs: number,
  periodEndMs: number | null,
): BudgetCounter {
  const existing = counters.budgets.find((b) => b.budgetId === budgetId && b.periodStartMs === periodStartMs);
  if (existing !== undefined) return existing;
  const budget = { budgetId, periodStartMs, periodEndMs, spentNanoUsd: 0, heldNanoUsd: 0, movedTo: null };
  counters.budgets.push(budget);
  return budget;
}

/** Forgets budgets whose period ended longer than `retentionMs` ago and that hold nothing. */
export function pruneBudgets(counters: ScopeCounters, nowMs: number, retentionMs: number): void {
  const kept = counters.budgets.filter(
    ({ periodEndMs, heldNanoUsd }) => periodEndMs === null || heldNanoUsd > 0 || periodEndMs + retentionMs > nowMs,
  );
  if (kept.length === counters.budgets.length) return;
  const gone = new Set(counters.budgets.filter((budget) => !kept.includes(budget)));
  for (const budget of kept) if (budget.movedTo !== null && gone.has(budget.movedTo)) budget.movedTo = null;
  counters.budgets = kept;
}

/** What counts for a call until now, and what shall count for it from now on. */
export interface Correction {
  /** When the call was admitted: tokens go back to that moment's cell. */
  readonly takenAtMs: number;
  readonly countedTokens: number;
  readonly tokens: number;
  /** Taken off what is held. */
  readonly heldNanoUsd: number;
  /** Added to what is spent; negative where less was charged than before. */
  readonly spentNanoUsd: number;
}

/**
 * Replaces what a call took from one limit by what it consumed. Tokens below the estimate go back to the cell in which
 * they were taken, tokens above it count in the current one. Requests stay as they are, and slots belong to the hold.
 */
export function correct(counters: ScopeCounters, take: Take, correction: Correction, nowMs: number): void {
  if (take.measure === 'tokens') {
    const window = windowOf(counters, take.id, take.windowMs);
    rollWindow(window, nowMs);
    const more = correction.tokens - correction.countedTokens;
    if (more > 0) takeFromWindow(window, more);
    else if (more < 0) giveBackToWindow(window, correction.takenAtMs, -more);
  } else if (take.measure === 'budget') {
    const budget = budgetOf(counters, take.id, take.periodStartMs, null);
    budget.heldNanoUsd -= correction.heldNanoUsd;
    budget.spentNanoUsd += correction.spentNanoUsd;
  }
}

/** How much of what a call took from a limit would be given back if it ended now without having consumed anything. */
export function returnable(counters: ScopeCounters, take: Take, correction: Correction, nowMs: number): number {
  if (take.measure === 'budget') return correction.heldNanoUsd;
  if (take.measure !== 'tokens') return 0;
  const window = counters.windows.get(take.id);
  if (window === undefined) return 0;
  rollWindow(window, nowMs);
  return returnableFromWindow(window, correction.takenAtMs, correction.countedTokens);
}
