import { failureReason } from '../failure-reason.ts';
import type { Logger, StoreNotice } from '../store.ts';

export interface RelayLagOptions {
  readonly logger: Logger;
  readonly onNotice: (notice: StoreNotice) => void;
  readonly maxLagMs: number;
  /** Events that wait. */
  readonly maxBacklog: number;
}

/**
 * Tells once when usage has not reached the archive for too long, once when too much of it waits, and once when all of it
 * has reached it.
 */
export function createRelayLag({ logger, onNotice, maxLagMs, maxBacklog }: RelayLagOptions) {
  let behindSinceMs: number | null = null;
  let isLate = false;
  let isMuch = false;

  return {
    caughtUp(): void {
      if (isLate || isMuch) logger.warn('The usage of the ledger has reached the records again');
      behindSinceMs = null;
      isLate = false;
      isMuch = false;
    },
    behind(nowMs: number, backlog: number, error?: unknown): void {
      behindSinceMs ??= nowMs;
      const [wasLate, wasMuch] = [isLate, isMuch];
      isLate ||= nowMs - behindSinceMs >= maxLagMs;
      isMuch ||= backlog >= maxBacklog;
      if (isLate === wasLate && isMuch === wasMuch) return;
      const seconds = Math.round((nowMs - behindSinceMs) / 1000);
      const waiting = isMuch === wasMuch ? 'waits there' : `${backlog} events of it wait there`;
      const reason = error === undefined ? 'more comes than is taken' : failureReason(error);
      logger.error(`The usage of the ledger has not reached the records for ${seconds} s, and ${waiting}: ${reason}`);
      onNotice({ type: 'usage_behind', sinceMs: behindSinceMs, backlog });
    },
  };
}
