import { setImmediate as turn } from 'node:timers/promises';
import type { Scheduler } from '../../lib/keys/webhooks/scheduler.ts';

/** Time that passes only when a test says so. */
export interface ManualScheduler extends Scheduler {
  /** Lets time pass, and all that is due in it be done in its order. */
  advance(ms: number): Promise<void>;
}

export function manualScheduler(): ManualScheduler {
  let nowMs = 0;
  const timers = new Set<{ atMs: number; act: () => void }>();

  function earliest(untilMs: number) {
    const due = [...timers].filter(({ atMs }) => atMs <= untilMs);
    return due.sort((a, b) => a.atMs - b.atMs)[0];
  }

  return {
    now: () => nowMs,
    after(delayMs, act) {
      const timer = { atMs: nowMs + delayMs, act };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    async advance(ms) {
      const untilMs = nowMs + ms;
      await turn();
      for (let timer = earliest(untilMs); timer !== undefined; timer = earliest(untilMs)) {
        timers.delete(timer);
        nowMs = timer.atMs;
        timer.act();
        await turn();
      }
      nowMs = untilMs;
    },
  };
}
