/**
 * Sliding windows on an aligned grid: a window is {@link cellsPerWindow} cells, and what counts is the current cell and
 * as many before it. Any stretch of one window's length touches at most these cells, so never more than the limit is
 * admitted in any of them, however it is aligned. The price is 1/61 of the rate under full load.
 */

export const cellsPerWindow = 60;
const ringSize = cellsPerWindow + 1;

/** The counter of one window. `counts` is a ring by cell index, and sums to `total`. */
export interface WindowCounter {
  readonly id: string;
  readonly windowMs: number;
  readonly cellMs: number;
  /** Index of the newest cell since the epoch. */
  cell: number;
  /** When the newest cell ends; no earlier moment needs the ring to be rolled. */
  cellEndMs: number;
  total: number;
  readonly counts: number[];
}

export function createWindow(id: string, windowMs: number): WindowCounter {
  const counts = new Array<number>(ringSize).fill(0);
  return { id, windowMs, cellMs: windowMs / cellsPerWindow, cell: 0, cellEndMs: 0, total: 0, counts };
}

/**
 * Lets the cells go that are no longer inside at `nowMs`. A clock that stepped back a little changes nothing: what comes
 * then is counted in the newest cell. When it stepped back by more than a window, the window starts again with all that
 * counted in its first cell, so that the step admits nothing and is over after one window; the answer is then `true`.
 */
export function rollWindow(window: WindowCounter, nowMs: number): boolean {
  if (nowMs < window.cellEndMs && nowMs >= window.cellEndMs - window.cellMs) return false;
  const cell = Math.floor(nowMs / window.cellMs);
  const ahead = cell - window.cell;
  if (ahead <= 0 && ahead >= -cellsPerWindow) return false;
  if (ahead > cellsPerWindow || window.total === 0) {
    restart(window, cell, 0);
    return false;
  }
  if (ahead < 0) {
    restart(window, cell, window.total);
    return true;
  }
  for (let next = window.cell + 1; next <= cell; next += 1) {
    const slot = next % ringSize;
    window.total -= window.counts[slot] ?? 0;
    window.counts[slot] = 0;
  }
  move(window, cell);
  return false;
}

function restart(window: WindowCounter, cell: number, total: number): void {
  window.counts.fill(0);
  window.counts[cell % ringSize] = total;
  window.total = total;
  move(window, cell);
}

function move(window: WindowCounter, cell: number): void {
  window.cell = cell;
  window.cellEndMs = (cell + 1) * window.cellMs;
}

/** Counts in the newest cell; the window has been rolled. */
export function takeFromWindow(window: WindowCounter, amount: number): void {
  const slot = window.cell % ringSize;
  window.counts[slot] = (window.counts[slot] ?? 0) + amount;
  window.total += amount;
}

/** How much of an amount taken at this moment still counts in its cell. The window has been rolled. */
export function returnableFromWindow(window: WindowCounter, takenAtMs: number, amount: number): number {
  const cell = Math.floor(takenAtMs / window.cellMs);
  if (cell > window.cell || window.cell - cell > cellsPerWindow) return 0;
  return Math.min(amount, window.counts[cell % ringSize] ?? 0);
}

/**
 * Gives back to the cell in which it was taken, where that is still inside, and at most what is there: after a step of
 * the clock the amount may stand in another cell, and then it stays counted. The window has been rolled.
 */
export function giveBackToWindow(window: WindowCounter, takenAtMs: number, amount: number): void {
  const given = returnableFromWindow(window, takenAtMs, amount);
  if (given === 0) return;
  const slot = Math.floor(takenAtMs / window.cellMs) % ringSize;
  window.counts[slot] = (window.counts[slot] ?? 0) - given;
  window.total -= given;
}

/**
 * Milliseconds from `nowMs` until `amount` fits under `limit`, if nothing is given back meanwhile: exact. `null` when it
 * never fits. The window has been rolled.
 */
export function waitForRoom(window: WindowCounter, amount: number, limit: number, nowMs: number): number | null {
  if (amount > limit) return null;
  let excess = window.total + amount - limit;
  if (excess <= 0) return 0;
  for (let cell = window.cell - cellsPerWindow; cell <= window.cell; cell += 1) {
    excess -= cell < 0 ? 0 : (window.counts[cell % ringSize] ?? 0);
    if (excess <= 0) return leavesAtMs(window, cell) - nowMs;
  }
  return null;
}

/** Milliseconds from `nowMs` until nothing counts any more, if nothing is added. The window has been rolled. */
export function waitForEmpty(window: WindowCounter, nowMs: number): number {
  if (window.total === 0) return 0;
  for (let cell = window.cell; cell >= 0 && cell >= window.cell - cellsPerWindow; cell -= 1) {
    if ((window.counts[cell % ringSize] ?? 0) > 0) return leavesAtMs(window, cell) - nowMs;
  }
  return 0;
}

function leavesAtMs(window: WindowCounter, cell: number): number {
  return (cell + ringSize) * window.cellMs;
}

/** The cells that count something, newest first: how many cells ago, and how much. */
export function* countedCells(window: WindowCounter): Generator<readonly [cellsAgo: number, count: number]> {
  if (window.total === 0) return;
  for (let cellsAgo = 0; cellsAgo <= cellsPerWindow && cellsAgo <= window.cell; cellsAgo += 1) {
    const count = window.counts[(window.cell - cellsAgo) % ringSize] ?? 0;
    if (count !== 0) yield [cellsAgo, count];
  }
}

/** The window that {@link countedCells} and its newest cell tell of. */
export function restoreWindow(
  id: string,
  windowMs: number,
  cell: number,
  counted: Iterable<readonly [cellsAgo: number, count: number]>,
): WindowCounter {
  const window = createWindow(id, windowMs);
  move(window, cell);
  for (const [cellsAgo, count] of counted) {
    window.counts[(cell - cellsAgo) % ringSize] = count;
    window.total += count;
  }
  return window;
}
