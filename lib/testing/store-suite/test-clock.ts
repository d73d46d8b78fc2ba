export const secondMs = 1000;
export const minuteMs = 60_000;
export const hourMs = 3_600_000;
export const dayMs = 86_400_000;

/** A clock that stands still until it is set. */
export interface TestClock {
  now(): number;
  advance(ms: number): void;
  set(nowMs: number): void;
}

/** Begins on a Thursday at noon UTC, where windows of a minute and of a day have a cell that begins. */
export function createTestClock(startMs: number = Date.UTC(2026, 0, 15, 12)): TestClock {
  let nowMs = startMs;
  return {
    now: () => nowMs,
    advance: (ms) => {
      nowMs += ms;
    },
    set: (ms) => {
      nowMs = ms;
    },
  };
}
