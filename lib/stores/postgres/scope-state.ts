import { type BudgetCounter, createCounters, type ScopeCounters } from '../../limits/counters.ts';
import type { ScopeId } from '../../limits/limit.ts';
import { cellsPerWindow, countedCells, restoreWindow, type WindowCounter } from '../../limits/window.ts';
import { check, isAmount, isList, isText, isWhole } from './stored-json.ts';

const format = 2;

/**
 * The counters of a scope as they are stored: `[format, revision, carriedRevision, closed, openHolds, windows, budgets]`. Windows are
 * `[id, windowMs, cell, cellsAgo, count, …]` with the cells that count something, budgets `[id, periodStartMs,
 * periodEndMs, spent, held, position of the one it was moved to or -1]`.
 */
export function writeScope(counters: ScopeCounters): string {
  const { revision, carriedRevision, closed, openHolds, windows, budgets } = counters;
  const counted = [...windows.values()].filter(({ total }) => total !== 0);
  return JSON.stringify([
    format,
    revision,
    carriedRevision,
    closed ? 1 : 0,
    openHolds,
    counted.map((window) => [window.id, window.windowMs, window.cell, ...[...countedCells(window)].flat()]),
    budgets.map((budget) => [
      budget.budgetId,
      budget.periodStartMs,
      budget.periodEndMs,
      budget.spentNanoUsd,
      budget.heldNanoUsd,
      budget.movedTo === null ? -1 : budgets.indexOf(budget.movedTo),
    ]),
  ]);
}

/** @throws TypeError for what {@link writeScope} would not have written */
export function readScope(scopeId: ScopeId, state: string): ScopeCounters {
  const stored: unknown = JSON.parse(state);
  check(isList(stored) && stored.length === 7 && stored[0] === format);
  const [, revision, carriedRevision, closed, openHolds, windows, budgets] = stored;
  check(isAmount(revision) && isAmount(carriedRevision) && isWhole(openHolds) && isList(windows) && isList(budgets));
  const counters = createCounters(scopeId, revision);
  counters.carriedRevision = carriedRevision;
  counters.closed = closed !== 0;
  counters.openHolds = openHolds;
  for (const window of windows) {
    const restored = readWindow(window);
    counters.windows.set(restored.id, restored);
  }
  counters.budgets = readBudgets(budgets);
  return counters;
}

function readWindow(stored: unknown): WindowCounter {
  check(isList(stored) && stored.length % 2 === 1);
  const [id, windowMs, cell, ...counted] = stored;
  check(isText(id) && isAmount(windowMs) && windowMs > 0 && isAmount(cell));
  const cells: [number, number][] = [];
  for (let index = 0; index < counted.length; index += 2) {
    const [cellsAgo, count] = [counted[index], counted[index + 1]];
    check(isAmount(cellsAgo) && cellsAgo <= cellsPerWindow && cellsAgo <= cell && isWhole(count));
    cells.push([cellsAgo, count]);
  }
  return restoreWindow(id, windowMs, cell, cells);
}

function readBudgets(stored: readonly unknown[]): BudgetCounter[] {
  const targets: number[] = [];
  const budgets = stored.map((entry): BudgetCounter => {
    check(isList(entry) && entry.length === 6);
    const [budgetId, periodStartMs, periodEndMs, spentNanoUsd, heldNanoUsd, movedTo] = entry;
    check(isText(budgetId) && isWhole(periodStartMs) && (periodEndMs === null || isWhole(periodEndMs)));
    check(isWhole(spentNanoUsd) && isWhole(heldNanoUsd) && isWhole(movedTo) && movedTo < stored.length);
    targets.push(movedTo);
    return { budgetId, periodStartMs, periodEndMs, spentNanoUsd, heldNanoUsd, movedTo: null };
  });
  for (const [position, budget] of budgets.entries()) {
    const target = targets[position] ?? -1;
    budget.movedTo = budgets[target] ?? null;
  }
  for (const budget of budgets) check(endsSomewhere(budget, budgets.length));
  return budgets;
}

/** A circle of moved budgets would be walked along for ever. */
function endsSomewhere(budget: BudgetCounter, atMost: number): boolean {
  let current: BudgetCounter | null = budget;
  for (let steps = 0; steps <= atMost; steps += 1) {
    if (current === null) return true;
    current = current.movedTo;
  }
  return current === null;
}
