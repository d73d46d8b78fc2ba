import type { Store } from '../../stores/store.ts';
import type { TwinRecord, TwinRows } from '../mirror/twin-rows.ts';
import type { Worker } from '../mirror/worker.ts';

export interface LookNowOptions {
  readonly store: Pick<Store, 'enqueueOutbox'>;
  readonly rows: TwinRows;
  readonly worker: Pick<Worker, 'look'>;
  /** How long another process may have a key. */
  readonly leaseMs: number;
}

const pollMs = 25;

/**
 * Looks at a key now, or waits for whoever is looking at it, who is told to do it once more. Answers what is known of its
 * twin then.
 */
export function createLookNow({ store, rows, worker, leaseMs }: LookNowOptions) {
  return async function lookNow(keyId: string): Promise<TwinRecord | undefined> {
    const before = (await rows.find(keyId))?.version;
    await store.enqueueOutbox([keyId], 0);
    const untilMs = performance.now() + leaseMs;
    for (;;) {
      const looked = await worker.look(keyId);
      const twin = await rows.find(keyId);
      const isLookedAt = looked === undefined ? twin?.version !== before : looked.outcome !== 'overtaken';
      if (isLookedAt || performance.now() >= untilMs) return twin;
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  };
}
