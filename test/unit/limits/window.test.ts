import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  cellsPerWindow,
  countedCells,
  createWindow,
  giveBackToWindow,
  restoreWindow,
  rollWindow,
  takeFromWindow,
  type WindowCounter,
  waitForEmpty,
  waitForRoom,
} from '../../../lib/limits/window.ts';

const windowMs = 60_000;
const cellMs = windowMs / cellsPerWindow;
const startMs = Date.UTC(2026, 0, 15, 12);

/** Takes what fits. */
function admit(window: WindowCounter, amount: number, limit: number, nowMs: number): boolean {
  rollWindow(window, nowMs);
  if (window.total + amount > limit) return false;
  takeFromWindow(window, amount);
  return true;
}

/** A window in which this was taken at these moments. */
function windowWith(...taken: readonly (readonly [atMs: number, amount: number])[]): WindowCounter {
  const window = createWindow('tpm', windowMs);
  for (const [atMs, amount] of taken) {
    rollWindow(window, startMs + atMs);
    takeFromWindow(window, amount);
  }
  return window;
}

const traffic = fc.array(
  fc.record({
    pauseMs: fc.oneof(
      fc.integer({ min: 0, max: 900 }),
      fc.integer({ min: 0, max: 30_000 }),
      fc.constantFrom(0, 1, 999, 1000, 59_999, 60_000, 60_001, 61_000, 500_000),
    ),
    amount: fc.integer({ min: 1, max: 6 }),
    /** How much of the call before is given back after it. */
    back: fc.integer({ min: 0, max: 6 }),
  }),
  { maxLength: 300 },
);

describe('rollWindow', () => {
  it('passes the limit in no window of any alignment, and refuses only what does not fit 61 cells', () => {
    fc.assert(
      fc.property(traffic, fc.integer({ min: 1, max: 30 }), (calls, limit) => {
        const window = createWindow('tpm', windowMs);
        const log: { atMs: number; amount: number }[] = [];
        const sumFrom = (fromMs: number) =>
          log.reduce((sum, { atMs, amount }) => (atMs >= fromMs ? sum + amount : sum), 0);
        let nowMs = startMs;
        for (const { pauseMs, amount, back } of calls) {
          nowMs += pauseMs;
          const inGrid = sumFrom((Math.floor(nowMs / cellMs) - cellsPerWindow) * cellMs);
          assert.equal(admit(window, amount, limit, nowMs), inGrid + amount <= limit);
          if (inGrid + amount <= limit) log.push({ atMs: nowMs, amount });
          assert.ok(sumFrom(nowMs - windowMs + 1) <= limit);
          const last = log.at(-1);
          if (last === undefined) continue;
          const given = Math.min(back, last.amount);
          giveBackToWindow(window, last.atMs, given);
          last.amount -= given;
        }
      }),
      { numRuns: 300 },
    );
  });

  it('loses one part in 61 of the rate under full load, and no more', () => {
    const window = createWindow('rpm', windowMs);
    let admitted = 0;
    const windows = 61;
    for (let ms = 0; ms < windows * windowMs; ms += 10) if (admit(window, 1, 600, startMs + ms)) admitted += 1;
    assert.ok(admitted >= Math.floor((windows * 600 * cellsPerWindow) / (cellsPerWindow + 1)), `${admitted}`);
    assert.ok(admitted <= windows * 600);
  });

  it('stays where it is when the clock steps back by less than a window', () => {
    const window = windowWith([0, 5]);
    assert.equal(rollWindow(window, startMs - windowMs), false);
    takeFromWindow(window, 2);
    assert.equal(window.total, 7);
    rollWindow(window, startMs + windowMs + cellMs - 1);
    assert.equal(window.total, 7);
    rollWindow(window, startMs + windowMs + cellMs);
    assert.equal(window.total, 0);
  });

  it('starts again with all that counted when the clock steps back by more than a window', () => {
    const window = windowWith([0, 5], [30_000, 3]);
    const backMs = startMs - 3_600_000;
    assert.equal(rollWindow(window, backMs), true);
    assert.deepEqual([window.total, waitForRoom(window, 1, 8, backMs)], [8, windowMs + cellMs]);
    assert.equal(rollWindow(window, backMs + 1), false);
    rollWindow(window, backMs + windowMs + cellMs);
    assert.equal(window.total, 0);
  });

  it('counts nothing of before when the clock steps forward by more than a window', () => {
    const window = windowWith([0, 5]);
    assert.equal(rollWindow(window, startMs + 3_600_000), false);
    assert.deepEqual([window.total, [...countedCells(window)]], [0, []]);
  });

  it('keeps the sum of its cells, none below zero, whatever the clock does', () => {
    const act = fc.record({ stepMs: fc.integer({ min: -200_000, max: 200_000 }), amount: fc.nat(9), back: fc.nat(9) });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
        const window = createWindow('tpm', windowMs);
        let nowMs = startMs;
        for (const { stepMs, amount, back } of acts) {
          nowMs += stepMs;
          rollWindow(window, nowMs);
          takeFromWindow(window, amount);
          giveBackToWindow(window, nowMs - stepMs, back);
          const counts = [...countedCells(window)].map(([, count]) => count);
          assert.equal(
            counts.reduce((sum, count) => sum + count, 0),
            window.total,
          );
          assert.ok(counts.every((count) => count > 0));
        }
      }),
    );
  });
});

describe('giveBackToWindow', () => {
  it('gives to the cell of the taking what is there at most', () => {
    const window = windowWith([0, 5], [1000, 3]);
    giveBackToWindow(window, startMs, 4);
    assert.equal(window.total, 4);
    giveBackToWindow(window, startMs, 4);
    assert.equal(window.total, 3);
    rollWindow(window, startMs + windowMs + cellMs);
    assert.equal(window.total, 3);
  });

  it('gives nothing to a cell that has left the window or is still to come', () => {
    const window = windowWith([0, 5], [windowMs + cellMs, 3]);
    giveBackToWindow(window, startMs, 5);
    giveBackToWindow(window, startMs + 5 * windowMs, 5);
    assert.equal(window.total, 3);
  });
});

describe('waitForRoom', () => {
  it('is the exact time after which the amount fits', () => {
    fc.assert(
      fc.property(traffic, fc.integer({ min: 6, max: 30 }), (calls, limit) => {
        const window = createWindow('tpm', windowMs);
        let nowMs = startMs;
        for (const { pauseMs, amount } of calls) {
          nowMs += pauseMs;
          if (admit(window, amount, limit, nowMs)) continue;
          const waitMs = waitForRoom(window, amount, limit, nowMs);
          assert.ok(waitMs !== null && waitMs > 0 && waitMs <= windowMs + cellMs);
          const later = restoreWindow('tpm', windowMs, window.cell, countedCells(window));
          assert.deepEqual(later, window);
          assert.equal(admit(later, amount, limit, nowMs + waitMs - 1), false);
          assert.equal(admit(later, amount, limit, nowMs + waitMs), true);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('is never for more than the limit, and no time for what fits', () => {
    const window = windowWith([0, 5]);
    assert.deepEqual(
      [11, 10, 6, 5, 0].map((amount) => waitForRoom(window, amount, 10, startMs)),
      [null, windowMs + cellMs, windowMs + cellMs, 0, 0],
    );
  });
});

describe('waitForEmpty', () => {
  it('is the time after which nothing counts', () => {
    assert.equal(waitForEmpty(createWindow('rpm', windowMs), startMs), 0);
    const window = windowWith([0, 5], [20_500, 1]);
    const nowMs = startMs + 20_500;
    const waitMs = waitForEmpty(window, nowMs);
    rollWindow(window, nowMs + waitMs - 1);
    assert.equal(window.total, 1);
    rollWindow(window, nowMs + waitMs);
    assert.equal(window.total, 0);
  });
});
