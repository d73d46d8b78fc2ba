import { createGenerations } from '../../generations.ts';
import { type EndedHold, type Holds, type OpenHold, wasAbandoned } from '../../ledger/holds.ts';
import { IdBits, IdTable } from './id-table.ts';
import { createLeases } from './leases.ts';

const hourMs = 3_600_000;

/** What is known of an id, where it is not the place of an open hold. */
const ended = -1;

/** Remembers ended holds for an hour, or at least the last half of `maxEnded`. */
export function createHolds(maxEnded: number): Holds {
  const leases = createLeases<OpenHold>();
  const bits = new IdBits();
  const open: (OpenHold | undefined)[] = [];
  const freePlaces: number[] = [];
  // In two generations: when the younger one is full, or old enough, the older one is forgotten at once. Every open hold
  // is in the younger one.
  let younger = new IdTable();
  let older = new IdTable();
  let endedInYounger = 0;
  let firstEndedAtMs = 0;
  // What has to be remembered of a hold beyond that it has ended; the first of them for the calls of paused processes,
  // which settle long after their lease.
  const abandoned = createGenerations<EndedHold>({ maxSize: maxEnded / 10, retentionMs: 24 * hourMs });
  const charged = createGenerations<EndedHold>({ maxSize: maxEnded, retentionMs: hourMs });

  function remember(holdId: string, nowMs: number): void {
    if (endedInYounger === 0) firstEndedAtMs = nowMs;
    younger.set(bits.of(holdId), ended);
    endedInYounger += 1;
    if (endedInYounger >= maxEnded / 2 || nowMs - firstEndedAtMs >= hourMs) startGeneration();
  }

  function startGeneration(): void {
    older = younger;
    younger = new IdTable();
    endedInYounger = 0;
    for (const [index, hold] of open.entries()) {
      if (hold !== undefined) younger.set(bits.of(hold.holdId), index);
    }
  }

  function isEnded(holdId: string): boolean {
    return younger.get(bits.of(holdId)) === ended || older.get(bits.of(holdId)) === ended;
  }

  return {
    find(holdId) {
      const place = younger.get(bits.of(holdId));
      return place === undefined || place === ended ? undefined : open[place];
    },
    open(hold, nowMs) {
      const place = freePlaces.pop() ?? open.length;
      open[place] = hold;
      younger.set(bits.of(hold.holdId), place);
      leases.start(hold, nowMs);
    },
    renew: (hold, nowMs) => leases.start(hold, nowMs),
    expired: (nowMs) => leases.expired(nowMs),
    end(hold, nowMs) {
      const place = younger.get(bits.of(hold.holdId));
      if (place === undefined || place === ended) return;
      open[place] = undefined;
      freePlaces.push(place);
      leases.end(hold);
      remember(hold.holdId, nowMs);
      if (wasAbandoned(hold.calls)) abandoned.set(hold.holdId, hold.calls, nowMs);
    },
    findEnded: (holdId) => abandoned.get(holdId) ?? charged.get(holdId) ?? (isEnded(holdId) ? 'ended' : undefined),
    rememberEnded(holdId, value, nowMs) {
      if (value === 'ended') remember(holdId, nowMs);
      else charged.set(holdId, value, nowMs);
    },
  };
}
