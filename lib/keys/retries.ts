import { StoreUnavailableError } from '../errors.ts';
import type { Answer, Logger } from '../stores/store.ts';

const firstDelayMs = 250;
const longestDelayMs = 5000;
/** Longer, and the store may have forgotten the hold: the same settlement would be charged again. */
const giveUpAfterMs = 10 * 60_000;
const maxWaiting = 10_000;
/** So many failures in a row mean that the store is still down. One alone must not hold up those behind it. */
const failuresToPause = 3;

/** Acts that the store must hear of even when it is out of reach for a while: settlements and cancellations, alerts. */
export interface Retries {
  /**
   * Begins the act; while the store is unavailable it is repeated in the background, after those that wait already. The
   * first failure rejects all the same, so that the caller knows that the answer is still to come.
   *
   * @param onGivenUp the act was given up after ten minutes, or because too many wait
   */
  run<T>(act: () => Answer<T>, onGivenUp?: () => void): Answer<T>;
  /** The store answers again: what waits is repeated now. */
  hurry(): void;
  /** Resolves when the acts begun until now have succeeded or were given up, or after the time-out. */
  settled(timeoutMs: number): Promise<void>;
}

interface Waiting {
  readonly act: () => unknown;
  readonly giveUpAtMs: number;
  readonly onGivenUp: () => void;
  readonly resolve: () => void;
}

export interface RetriesOptions {
  readonly logger: Logger;
  readonly now: () => number;
  /** What is repeated, and what becomes of one that is not any more, for the log. @defaultValue settlements */
  readonly words?: { readonly one: string; readonly many: string; readonly loss: string };
}

const settlements = { one: 'A settlement', many: 'settlements', loss: 'its hold ends by its lease' };

export function createRetries({ logger, now, words = settlements }: RetriesOptions): Retries {
  const pending = new Set<Promise<unknown>>();
  /** In the order in which they came. */
  const waiting = new Set<Waiting>();
  let isRepeating = false;
  let wake: () => void = () => undefined;

  function track(work: Promise<unknown>): void {
    const tracked = work.catch(() => undefined).finally(() => pending.delete(tracked));
    pending.add(tracked);
  }

  function repeatLater(act: () => unknown, onGivenUp: () => void): Promise<void> | undefined {
    if (waiting.size >= maxWaiting) {
      logger.error(`Too many ${words.many} wait for the store; one was dropped and ${words.loss}`);
      onGivenUp();
      return undefined;
    }
    return new Promise((resolve) => {
      waiting.add({ act, giveUpAtMs: now() + giveUpAfterMs, onGivenUp, resolve });
      if (!isRepeating) void repeatUntilDone();
    });
  }

  async function repeatUntilDone(): Promise<void> {
    isRepeating = true;
    for (let delayMs = firstDelayMs; waiting.size > 0; ) {
      await pause(delayMs);
      const answers = await repeatWaiting();
      delayMs = answers ? firstDelayMs : Math.min(delayMs * 2, longestDelayMs);
    }
    isRepeating = false;
  }

  /** Answers whether the store does. */
  async function repeatWaiting(): Promise<boolean> {
    let failures = 0;
    for (const entry of waiting) {
      if (await isOver(entry)) {
        waiting.delete(entry);
        entry.resolve();
        failures = 0;
      } else {
        failures += 1;
        if (failures === failuresToPause) return false;
      }
    }
    return failures === 0;
  }

  async function isOver({ act, giveUpAtMs, onGivenUp }: Waiting): Promise<boolean> {
    if (now() >= giveUpAtMs) {
      logger.error(`${words.one} was given up after ten minutes without the store; ${words.loss}`);
      onGivenUp();
      return true;
    }
    try {
      await act();
      return true;
    } catch (error) {
      // Any other failure would only come again.
      return !(error instanceof StoreUnavailableError);
    }
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms).unref();
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  return {
    run(act, onGivenUp = () => undefined) {
      const first = begin(act);
      if (!(first instanceof Promise)) return first;
      track(first.catch((error) => (error instanceof StoreUnavailableError ? repeatLater(act, onGivenUp) : undefined)));
      return first;
    },
    hurry: () => wake(),
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

function begin<T>(act: () => Answer<T>): Answer<T> {
  try {
    return act();
  } catch (error) {
    return Promise.reject(error);
  }
}
