import { FencePendingError, StoreUnavailableError } from '../errors.ts';

/** Waits for a store no longer than a deadline. */
export type WithDeadline = <T>(answer: Promise<T>) => Promise<T>;

/**
 * Whatever a store throws or leaves unanswered becomes one error. A call that was given up may still be carried out: who
 * gives up an admission has to cancel it.
 */
export function createDeadline(timeoutMs: number): WithDeadline {
  return async (answer) => {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new StoreUnavailableError(`The store did not answer within ${timeoutMs} ms`));
      }, timeoutMs);
    });
    try {
      return await Promise.race([answer, timeout]);
    } catch (cause) {
      if (cause instanceof StoreUnavailableError || cause instanceof FencePendingError) throw cause;
      throw new StoreUnavailableError('The store could not answer', { cause });
    } finally {
      clearTimeout(timer);
    }
  };
}
