// A store of your own, around another one: it times every call, for a histogram of your metrics. A store that keeps its
// data elsewhere has the same shape; docs/writing-a-store.md says what it must take care of, and the suite checks it.
import { memoryStore, type Store } from 'express-llm-keys';

export type Report = (call: { method: string; failed: boolean; durationMs: number }) => void;

export function timedStore(inner: Store, report: Report): Store {
  function timed<Args extends unknown[], Result>(method: string, call: (...args: Args) => Result) {
    return (...args: Args): Result => {
      const startMs = performance.now();
      const end = (failed: boolean) => report({ method, failed, durationMs: performance.now() - startMs });
      try {
        const answer = call(...args);
        // The hot methods may answer at once. An answer that is there must not be made one to wait for.
        if (answer instanceof Promise)
          answer.then(
            () => end(false),
            () => end(true),
          );
        else end(false);
        return answer;
      } catch (error) {
        end(true);
        throw error;
      }
    };
  }

  // Every method of the contract is timed, also one that a later version adds.
  const methods = Object.entries(inner).map(([name, member]) => [
    name,
    typeof member === 'function' && name !== 'open' ? timed(name, member.bind(inner)) : member,
  ]);
  return { ...inner, ...Object.fromEntries(methods), name: `timed ${inner.name}` };
}

/** The slowest calls of each method, until now. */
export function slowestCalls() {
  const slowest = new Map<string, number>();
  const report: Report = ({ method, durationMs }) => {
    slowest.set(method, Math.max(durationMs, slowest.get(method) ?? 0));
  };
  return { store: timedStore(memoryStore(), report), slowest };
}
