/**
 * Sliding windows on an aligned grid: a window is {@link cellsPerWindow} cells, and what counts is the current cell and
 * as many before it. Any stretch of one window's length touches at most these cells, so never more than the limit is
 * admitted in any of them, however it is aligned. The price is 1/61 of the rate under full load.
 */

export const cellsPerWindow = 60;

/** The counter of one window. Its cells are kept where they count something: most keys are asked for now and then. */
export interface WindowCounter {
  readonly id: string;
  readonly windowMs: number;
  readonly cellMs: number;
  /** Index of the newest cell since the epoch. */
  cell: number;
  /** Of all cells. */
  total: number;
  /** Of the newest cell. */
  current: number;
  /** Index and count, in turn, of the cells before the newest one, oldest first. */
  earlier: number[] | undefined;
}

export function createWindow(id: string, windowMs: number): WindowCounter {
  return { id, windowMs, cellMs: windowMs / cellsPerWindow, cell: 0, total: 0, current: 0, earlier: undefined };
}

/** When the cell of this moment ends. */
export function cellEndMs(windowMs: number, nowMs: number): number {
  const cellMs = windowMs / cellsPerWindow;
  return (Math.floor(nowMs / cellMs) + 1) * cellMs;
}

/**
 * Lets the cells go that are no longer inside at `nowMs`. A clock that stepped back a little changes nothing: what comes
 * then is counted in the newest cell. When it stepped back by more than a window, the window starts again with all that
 * counted in its first cell, so that the step admits nothing and is over after one window; the answer is then `true`.
 */
export function rollWindow(window: WindowCounter, nowMs: number): boolean {
  const cellStartMs = window.cell * window.cellMs;
  if (nowMs >= cellStartMs && nowMs < cellStartMs + window.cellMs) return false;
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
  if (window.current > 0) {
    window.earlier ??= [];
    window.earlier.push(window.cell, window.current);
  }
  window.cell = cell;
  window.current = 0;
  dropCells(window);
  return false;
}

function restart(window: WindowCounter, cell: number, total: number): void {
  window.cell = cell;
  window.total = total;
  window.current = total;
  window.earlier = undefined;
}

/** Those that have left the window. */
function dropCells(window: WindowCounter): void {
  const { earlier } = window;
  if (earlier === undefined) return;
  const oldest = window.cell - cellsPerWindow;
  let dropped = 0;
  for (; dropped < earlier.length && (earlier[dropped] ?? 0) < oldest; dropped += 2) {
    window.total -= earlier[dropped + 1] ?? 0;
  }
  if (dropped === earlier.length) window.earlier = undefined;
  else if (dropped > 0) earlier.splice(0, dropped);
}

/** Counts in the newest cell; the window has been rolled. */
export function takeFromWindow(window: WindowCounter, amount: number): void {
  window.current += amount;
  window.total += amount;
}

/** How much of an amount taken at this moment still counts in its cell. The window has been rolled. */
export function returnableFromWindow(window: WindowCounter, takenAtMs: number, amount: number): number {
  const cell = Math.floor(takenAtMs / window.cellMs);
  if (cell === window.cell) return Math.min(amount, window.current);
  const { earlier = noCells } = window;
  const position = positionOf(earlier, cell);
  return position === -1 ? 0 : Math.min(amount, earlier[position + 1] ?? 0);
}

/**
 * Gives back to the cell in which it was taken, where that is still inside, and at most what is there: after a step of
 * the clock the amount may stand in another cell, and then it stays counted. The window has been rolled.
 */
export function giveBackToWindow(window: WindowCounter, takenAtMs: number, amount: number): void {
  const given = returnableFromWindow(window, takenAtMs, amount);
  if (given === 0) return;
  window.total -= given;
  const cell = Math.floor(takenAtMs / window.cellMs);
  if (cell === window.cell) {
    window.current -= given;
  } else if (window.earlier !== undefined) {
    const position = positionOf(window.earlier, cell);
    window.earlier[position + 1] = (window.earlier[position + 1] ?? 0) - given;
  }
}

const noCells: readonly number[] = [];

/** From the newest on, since most of what is given back was taken of late; -1: the cell counts nothing. */
function positionOf(earlier: readonly number[], cell: number): number {
  for (let position = earlier.length - 2; position >= 0; position -= 2) {
    if (earlier[position] === cell) return position;
  }
  return -1;
}

/**
 * Milliseconds from `nowMs` until `amount` fits under `limit`, if nothing is given back meanwhile: exact. `null` when it
 * never fits. The window has been rolled.
 */
export function waitForRoom(window: WindowCounter, amount: number, limit: number, nowMs: number): number | null {
  if (amount > limit) return null;
  const { earlier = noCells } = window;
  let excess = window.total + amount - limit;
  if (excess <= 0) return 0;
  for (let position = 0; position < earlier.length; position += 2) {
    excess -= earlier[position + 1] ?? 0;
    if (excess <= 0) return leavesAtMs(window, earlier[position] ?? 0) - nowMs;
  }
  return leavesAtMs(window, window.cell) - nowMs;
}

/** Milliseconds from `nowMs` until nothing counts any more, if nothing is added. The window has been rolled. */
export function waitForEmpty(window: WindowCounter, nowMs: number): number {
  for (const [cellsAgo] of countedCells(window)) return leavesAtMs(window, window.cell - cellsAgo) - nowMs;
  return 0;
}

function leavesAtMs(window: WindowCounter, cell: number): number {
  return (cell + cellsPerWindow + 1) * window.cellMs;
}

/** The cells that count something, newest first: how many cells ago, and how much. */
export function* countedCells({
  cell,
  current,
  earlier = noCells,
}: {
  readonly cell: number;
  readonly current: number;
  readonly earlier?: readonly number[] | undefined;
}): Generator<readonly [cellsAgo: number, count: number]> {
  if (current !== 0) yield [0, current];
  for (let position = earlier.length - 2; position >= 0; position -= 2) {
    const count = earlier[position + 1] ?? 0;
    if (count !== 0) yield [cell - (earlier[position] ?? 0), count];
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
  const earlier: number[] = [];
  window.cell = cell;
  for (const [cellsAgo, count] of [...counted].sort(([a], [b]) => b - a)) {
    window.total += count;
    if (cellsAgo === 0) window.current = count;
    else earlier.push(cell - cellsAgo, count);
  }
  if (earlier.length > 0) window.earlier = earlier;
  return window;
}
