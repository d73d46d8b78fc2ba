import { failureReason } from '../failure-reason.ts';
import type { Logger, StoreNotice } from '../store.ts';

export interface RelayLagOptions {
  readonly logger: Logger;
  readonly onNotice: (notice: StoreNotice) => void;
  readonly maxLagMs: number;
}

/** Tells once when usage has not reached the archive for too long, and once when all of it has. */
export function createRelayLag({ logger, onNotice, maxLagMs }: RelayLagOptions) {
  let behindSinceMs: number | null = null;
  let isTold = false;

  return {
    caughtUp(): void {
      if (isTold) logger.warn('The usage of the ledger has reached the records again');
      behindSinceMs = null;
      isTold = false;
    },
    behind(nowMs: number, error?: unknown): void {
      behindSinceMs ??= nowMs;
      if (isTold || nowMs - behindSinceMs < maxLagMs) return;
      isTold = true;
      const seconds = Math.round((nowMs - behindSinceMs) / 1000);
      const reason = error === undefined ? 'more comes than is taken' : failureReason(error);
      logger.error(`The usage of the ledger has not reached the records for ${seconds} s, and waits there: ${reason}`);
      onNotice({ type: 'usage_behind', sinceMs: behindSinceMs });
    },
  };
}
