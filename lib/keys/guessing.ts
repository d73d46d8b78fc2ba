import { createGenerations } from '../generations.ts';

/** So many secrets that nobody has may come from one address at once, … */
const burst = 20;
/** … and then one more each so often. */
const leakMs = 3000;
const maxAddresses = 100_000;

/**
 * Notices guessing: secrets that are well-formed and belong to nobody, by the address they come from. It refuses no good
 * key: many callers share the address of a proxy.
 */
export interface Guessing {
  /** Counts a wrong secret. Answers for how long another one comes too early; 0 while there were few. */
  count(address: string): number;
}

interface Level {
  /** How long the guesses until now take to be forgotten, from `atMs` on. */
  forgottenAfterMs: number;
  atMs: number;
}

export function createGuessing(now: () => number): Guessing {
  const levels = createGenerations<Level>({ maxSize: maxAddresses });
  return {
    count(address) {
      const nowMs = now();
      const level = levels.get(address) ?? { forgottenAfterMs: 0, atMs: nowMs };
      level.forgottenAfterMs = Math.max(0, level.forgottenAfterMs - Math.max(0, nowMs - level.atMs));
      level.atMs = nowMs;
      levels.set(address, level, nowMs);
      const tooEarlyMs = level.forgottenAfterMs - (burst - 1) * leakMs;
      // Refused guesses are not counted: who stops guessing is soon free again.
      if (tooEarlyMs > 0) return tooEarlyMs;
      level.forgottenAfterMs += leakMs;
      return 0;
    },
  };
}
