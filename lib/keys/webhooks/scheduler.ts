/** Time that passes, and what is to be done in it. */
export interface Scheduler {
  /** Milliseconds since some moment; never goes back. */
  now(): number;
  /** The function returned cancels it. */
  after(delayMs: number, act: () => void): () => void;
}

/** Keeps no process alive. */
export const systemScheduler: Scheduler = {
  now: () => performance.now(),
  after(delayMs, act) {
    const timer = setTimeout(act, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
