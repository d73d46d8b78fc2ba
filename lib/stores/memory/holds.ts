import { createGenerations } from '../../generations.ts';
import { type EndedHold, type Holds, type OpenHold, wasAbandoned } from '../../ledger/holds.ts';
import { HoldTable } from './hold-table.ts';
import { createLeases } from './leases.ts';

const hourMs = 3_600_000;

/** Remembers ended holds for an hour, or at least the last half of `maxEnded`. */
export function createHolds(maxEnded: number): Holds {
  const leases = createLeases<OpenHold>();
  // In two generations: when the younger one is full, or old enough, the older one is forgotten at once.
  let younger = new HoldTable();
  let older = new HoldTable();
  let endedInYounger = 0;
  let firstEndedAtMs = 0;
  // What has to be remembered of a hold beyond that it has ended; the first of them for the calls of paused processes,
  // which settle long after their lease.
  const abandoned = createGenerations<EndedHold>({ maxSize: maxEnded / 10, retentionMs: 24 * hourMs });
  const charged = createGenerations<EndedHold>({ maxSize: maxEnded, retentionMs: hourMs });

  function rememberId(holdId: string, nowMs: number): void {
    if (endedInYounger === 0) firstEndedAtMs = nowMs;
    younger.put(holdId, holdId);
    endedInYounger += 1;
    if (endedInYounger >= maxEnded / 2 || nowMs - firstEndedAtMs >= hourMs) startGeneration();
  }

  function startGeneration(): void {
    older = younger;
    younger = new HoldTable();
    endedInYounger = 0;
    for (const hold of leases.running()) younger.put(hold.holdId, hold);
  }

  function isEnded(holdId: string): boolean {
    return typeof younger.find(holdId) === 'string' || typeof older.find(holdId) === 'string';
  }

  return {
    find(holdId) {
      const found = younger.find(holdId);
      return typeof found === 'object' ? found : undefined;
    },
    open(hold, nowMs) {
      younger.put(hold.holdId, hold);
      leases.start(hold, nowMs);
    },
    renew: (hold, nowMs) => leases.start(hold, nowMs),
    expired: (nowMs) => leases.expired(nowMs),
    end(hold, nowMs) {
      leases.end(hold);
      rememberId(hold.holdId, nowMs);
      if (wasAbandoned(hold.calls)) abandoned.set(hold.holdId, hold.calls, nowMs);
    },
    findEnded: (holdId) => abandoned.get(holdId) ?? charged.get(holdId) ?? (isEnded(holdId) ? 'ended' : undefined),
    rememberEnded(holdId, ended, nowMs) {
      if (ended === 'ended') rememberId(holdId, nowMs);
      else charged.set(holdId, ended, nowMs);
    },
  };
}
