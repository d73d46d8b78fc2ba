import type { BudgetCarry, ScopeId, Take } from './limit.ts';
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
  /** `null`: none, or not known yet. A change of the duration moves it. */
  periodEndMs: number | null;
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
  /**
   * Of the latest change that carried its budgets over, or of the record by which the scope was made known. A call that is
   * judged by a change and comes before its fence raises `revision` above this one.
   */
  carriedRevision: number;
  /** The record is gone: nothing is admitted, late settlements still count. */
  closed: boolean;
  readonly windows: Map<string, WindowCounter>;
  openHolds: number;
  budgets: BudgetCounter[];
  /** Grows whenever a name may lead to another counter than before: whoever keeps counters looks whether it has. */
  layout: number;
}

export function createCounters(scopeId: ScopeId, revision: number): ScopeCounters {
  return {
    scopeId,
    revision,
    carriedRevision: revision,
    closed: false,
    windows: new Map(),
    openHolds: 0,
    budgets: [],
    layout: 0,
  };
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
  counters.layout += 1;
  return window;
}

/** How long the counter of a period that is over is kept for late settlements. */
export const periodRetentionMs = 86_400_000;

/** The counter of a budget in a period, made where there is none; then those that nothing settles in are forgotten. */
export function openBudget(
  counters: ScopeCounters,
  budgetId: string,
  period: { readonly periodStartMs: number; readonly periodEndMs: number | null },
  nowMs: number,
): BudgetCounter {
  const existing = findBudget(counters, budgetId, period.periodStartMs);
  if (existing === undefined) pruneBudgets(counters, nowMs, periodRetentionMs);
  const budget = existing ?? addBudget(counters, budgetId, period.periodStartMs, period.periodEndMs);
  learnPeriod(budget, period);
  return budget;
}

/** One that was carried on has the period that it was carried to. */
export function learnPeriod(
  budget: BudgetCounter,
  period: { readonly periodStartMs: number; readonly periodEndMs: number | null },
): void {
  if (budget.periodStartMs === period.periodStartMs) budget.periodEndMs = period.periodEndMs;
}

function addBudget(
  counters: ScopeCounters,
  budgetId: string,
  periodStartMs: number,
  periodEndMs: number | null,
): BudgetCounter {
  const budget = { budgetId, periodStartMs, periodEndMs, spentNanoUsd: 0, heldNanoUsd: 0, movedTo: null };
  counters.budgets.push(budget);
  counters.layout += 1;
  return budget;
}

/**
 * Opens a budget's counter under its new period: with what the one before had spent and holds, or with what the usage
 * record says, whichever is more. So no change of a duration makes money free, and none counts it twice.
 *
 * @param isOvertaken a call has come before, judged by this change or a later one: what it took is counted besides
 */
export function carryBudget(
  counters: ScopeCounters,
  carry: BudgetCarry,
  { nowMs, isOvertaken }: { readonly nowMs: number; readonly isOvertaken: boolean },
): void {
  const { budgetId, periodStartMs, periodEndMs, from, openingNanoUsd } = carry;
  const source = from === null ? undefined : findBudget(counters, from.budgetId, from.periodStartMs);
  const target =
    counters.budgets.find((budget) => budget.budgetId === budgetId && budget.periodStartMs === periodStartMs) ??
    addBudget(counters, budgetId, periodStartMs, periodEndMs);
  // A period that was left for another one and is come back to: what was taken in it is held over there.
  const stand = latest(target);
  counters.layout += 1;
  target.periodEndMs = periodEndMs;
  if (source === target) return;
  target.movedTo = null;
  const carriedNanoUsd = Math.max(source?.spentNanoUsd ?? 0, openingNanoUsd);
  target.spentNanoUsd = isOvertaken
    ? target.spentNanoUsd + carriedNanoUsd
    : Math.max(target.spentNanoUsd, carriedNanoUsd);
  moveBudget(stand, target);
  if (source !== undefined) moveBudget(source, target);
  // Calls of earlier periods that reach into the new one settle there, too; what they spent is in the usage record.
  for (const budget of counters.budgets) {
    const reachesInto = budget.periodEndMs === null || budget.periodEndMs > periodStartMs;
    const isOver = budget.periodEndMs !== null && budget.periodEndMs <= nowMs;
    // That of a later change waits for the fence of its own.
    if (isOvertaken && !isOver) continue;
    if (reachesInto && budget.budgetId === from?.budgetId && budget.movedTo === null) moveBudget(budget, target);
  }
}

function moveBudget(source: BudgetCounter, target: BudgetCounter): void {
  if (source === target) return;
  target.heldNanoUsd += source.heldNanoUsd;
  source.heldNanoUsd = 0;
  // The usage record knows it, should the budget come back to this period.
  source.spentNanoUsd = 0;
  source.movedTo = target;
}

/** Forgets budgets whose period ended longer than `retentionMs` ago, and under which nothing is held. */
export function pruneBudgets(counters: ScopeCounters, nowMs: number, retentionMs: number): void {
  const isKept = (budget: BudgetCounter) =>
    budget.periodEndMs === null || budget.periodEndMs + retentionMs > nowMs || latest(budget).heldNanoUsd > 0;
  const kept = new Set(counters.budgets.filter(isKept));
  if (kept.size === counters.budgets.length) return;
  for (const budget of kept) {
    const end = latest(budget);
    budget.movedTo = end !== budget && kept.has(end) ? end : null;
  }
  counters.budgets = [...kept];
  counters.layout += 1;
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
 * The counter is found by its name where it is not `known`. Answers the budget that it changed, if it did.
 */
export function correct(
  counters: ScopeCounters,
  take: Take,
  correction: Correction,
  nowMs: number,
  known: { readonly window?: WindowCounter | undefined; readonly budget?: BudgetCounter | undefined } = {},
): BudgetCounter | undefined {
  if (take.measure === 'tokens') {
    const window = known.window ?? windowOf(counters, take.id, take.windowMs);
    rollWindow(window, nowMs);
    const more = correction.tokens - correction.countedTokens;
    if (more > 0) takeFromWindow(window, more);
    else if (more < 0) giveBackToWindow(window, correction.takenAtMs, -more);
  } else if (take.measure === 'budget') {
    const budget = known.budget ?? findBudget(counters, take.id, take.periodStartMs) ?? reopen(counters, take);
    if (budget === undefined) return undefined;
    budget.heldNanoUsd -= correction.heldNanoUsd;
    // What a call was charged may have been reset, and is not given back once more.
    budget.spentNanoUsd = Math.max(0, budget.spentNanoUsd + correction.spentNanoUsd);
    return budget;
  }
  return undefined;
}

/** A counter that was lost or forgotten. One of a period that has been followed by another serves nobody any more. */
function reopen(counters: ScopeCounters, { id, periodStartMs }: Take): BudgetCounter | undefined {
  const isOver = counters.budgets.some((budget) => budget.budgetId === id && budget.periodStartMs > periodStartMs);
  return isOver ? undefined : addBudget(counters, id, periodStartMs, null);
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
