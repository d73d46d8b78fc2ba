/** A clock that moves only when a test says so. */
export interface ManualClock {
  (): number;
  set(ms: number): void;
  advance(ms: number): void;
}

export function manualClock(startMs = Date.UTC(2025, 5, 15, 12)): ManualClock {
  let nowMs = startMs;
  return Object.assign(() => nowMs, {
    set(ms: number) {
      nowMs = ms;
    },
    advance(ms: number) {
      nowMs += ms;
    },
  });
}
