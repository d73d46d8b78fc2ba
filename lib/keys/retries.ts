import { StoreUnavailableError } from '../errors.ts';
import type { Logger } from '../stores/store.ts';

const firstDelayMs = 250;
const longestDelayMs = 5000;
/** Longer, and the store may have forgotten the hold: the same settlement would be charged again. */
const giveUpAfterMs = 10 * 60_000;
const maxPending = 10_000;

/** Acts that the ledger must hear of even when it is out of reach for a while: settlements and cancellations. */
export interface Retries {
  /**
   * Begins the act; while the store is unavailable it is repeated in the background. The first failure is thrown all the
   * same, so that the caller knows that the answer is still to come.
   */
  run<T>(act: () => T | Promise<T>): Promise<T>;
  /** Resolves when the acts begun until now have succeeded or were given up, or after the time-out. */
  settled(timeoutMs: number): Promise<void>;
}

export function createRetries({ logger, now }: { logger: Logger; now: () => number }): Retries {
  const pending = new Set<Promise<unknown>>();

  function track(work: Promise<unknown>): void {
    const tracked = work.catch(() => undefined).finally(() => pending.delete(tracked));
    pending.add(tracked);
  }

  function repeatLater(act: () => unknown): Promise<void> | undefined {
    if (pending.size <= maxPending) return repeat(act);
    logger.error('Too many settlements wait for the store; one was dropped and its hold ends by its lease');
    return undefined;
  }

  async function repeat(act: () => unknown): Promise<void> {
    const giveUpAtMs = now() + giveUpAfterMs;
    for (let delayMs = firstDelayMs; now() < giveUpAtMs; delayMs = Math.min(delayMs * 2, longestDelayMs)) {
      await pause(delayMs);
      try {
        await act();
        return;
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) throw error;
      }
    }
    logger.error('A settlement was given up after ten minutes without the store; its hold ends by its lease');
  }

  return {
    run(act) {
      const first = (async () => act())();
      track(first.catch((error) => (error instanceof StoreUnavailableError ? repeatLater(act) : undefined)));
      return first;
    },
    async settled(timeoutMs) {
      let timer: NodeJS.Timeout | undefined;
      // Keeps the process alive, which the pauses between repetitions do not.
      const timeout = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, timeoutMs);
      });
      await Promise.race([Promise.all(pending), timeout]);
      clearTimeout(timer);
    },
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
