/**
 * Does the work one round after the other, once for all who ask while a round has not begun. Whoever asks during a round
 * waits for the next one: what was true when they asked is seen by it.
 */
export function createRounds<T>(work: () => Promise<T>): () => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  let next: Promise<T> | undefined;
  return () => {
    next ??= last.then(() => {
      next = undefined;
      const round = work();
      last = round.catch(() => undefined);
      return round;
    });
    return next;
  };
}
