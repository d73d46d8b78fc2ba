import { FencePendingError, StoreUnavailableError } from '../errors.ts';

/** Waits for a store no longer than a deadline. */
export type WithDeadline = <T>(answer: Promise<T>) => Promise<T>;

/**
 * Whatever a store throws or leaves unanswered becomes one error. A call that was given up may still be carried out: who
 * gives up an admission has to cancel it.
 */
export function createDeadline(timeoutMs: number): WithDeadline {
  const late = () => new StoreUnavailableError(`The store did not answer within ${timeoutMs} ms`);
  return async (answer) => {
    try {
      return await answeredWithin(answer, timeoutMs, late);
    } catch (cause) {
      if (cause instanceof StoreUnavailableError || cause instanceof FencePendingError) throw cause;
      throw new StoreUnavailableError('The store could not answer', { cause });
    }
  };
}

/** An answer, or an error where it takes longer. */
export async function answeredWithin<T>(answer: Promise<T>, timeoutMs: number, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), timeoutMs);
  });
  try {
    return await Promise.race([answer, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
