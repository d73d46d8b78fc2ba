import { createGenerations } from '../../generations.ts';
import { type EndedHold, type Holds, type OpenHold, wasAbandoned } from '../../ledger/holds.ts';
import { createLeases } from './leases.ts';

const hourMs = 3_600_000;

export function createHolds(maxEnded: number): Holds {
  const open = new Map<string, OpenHold>();
  const leases = createLeases<OpenHold>();
  const ended = createGenerations<EndedHold>({ maxSize: maxEnded, retentionMs: hourMs });
  // A paused process may settle long after its lease: such holds are remembered for a day.
  const abandoned = createGenerations<EndedHold>({ maxSize: maxEnded / 10, retentionMs: 24 * hourMs });

  return {
    find: (holdId) => open.get(holdId),
    open(hold, nowMs) {
      open.set(hold.holdId, hold);
      leases.start(hold, nowMs);
    },
    renew: (hold, nowMs) => leases.start(hold, nowMs),
    expired: (nowMs) => leases.expired(nowMs),
    end(hold, nowMs) {
      open.delete(hold.holdId);
      leases.end(hold);
      if (wasAbandoned(hold.calls)) abandoned.set(hold.holdId, hold.calls, nowMs);
      else ended.set(hold.holdId, 'ended', nowMs);
    },
    findEnded: (holdId) => abandoned.get(holdId) ?? ended.get(holdId),
    rememberEnded: (holdId, value, nowMs) => ended.set(holdId, value, nowMs),
  };
}
