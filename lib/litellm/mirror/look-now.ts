import type { MirrorStore } from './mirror-store.ts';
import type { TwinRecord, TwinRows } from './twin-rows.ts';
import type { Worker } from './worker.ts';

export interface LookNowOptions {
  readonly store: Pick<MirrorStore, 'enqueueOutbox'>;
  readonly rows: Pick<TwinRows, 'find'>;
  readonly worker: Pick<Worker, 'look'>;
  /** How long another process is waited for that has the key. */
  readonly patienceMs: number;
}

/** Looks at a key now, and answers what is known of its twin then. */
export type LookNow = (keyId: string) => Promise<TwinRecord | undefined>;

const pollMs = 25;

export function createLookNow({ store, rows, worker, patienceMs }: LookNowOptions): LookNow {
  /** Somebody else looks at the key, and may have begun before there was a reason to. */
  async function isWorthWaiting(untilMs: number): Promise<boolean> {
    await new Promise((resolve) => setTimeout(resolve, pollMs));
    return performance.now() < untilMs;
  }

  return async (keyId) => {
    const untilMs = performance.now() + patienceMs;
    do await store.enqueueOutbox([keyId], 0);
    while ((await worker.look(keyId)) === undefined && (await isWorthWaiting(untilMs)));
    return rows.find(keyId);
  };
}
