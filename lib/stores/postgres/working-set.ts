import { randomUUID } from 'node:crypto';
import { type Call, type EndedHold, type Holds, type OpenHold, wasAbandoned } from '../../ledger/holds.ts';
import type { Nonces, Scopes, UsageLines } from '../../ledger/places.ts';
import { createCounters, type ScopeCounters } from '../../limits/counters.ts';
import type { ScopeId } from '../../limits/limit.ts';
import type { UsageEvent } from '../../usage/usage.ts';
import { readEnded, readOpen, writeCalls, writeEnded } from './hold-body.ts';
import { readScope, writeScope } from './scope-state.ts';

const hourMs = 3_600_000;

export interface ScopeRow {
  readonly id: string;
  readonly state: string;
}

export interface HoldRow {
  readonly id: string;
  /** In the order of opening. */
  readonly number: string | number;
  readonly has_ended: boolean;
  readonly until_ms: string | number;
  readonly body: string | null;
}

/** One line that acts have written; `replaced` is the one that it stands in place of. */
export interface UsageLine {
  readonly event: UsageEvent;
  readonly replaced: UsageEvent | null;
}

/** A row as it is written: the database numbers it. */
export type WrittenHold = Omit<HoldRow, 'until_ms' | 'number'> & { readonly until_ms: number };

/** What acts have changed, as rows. */
export interface Changes {
  readonly scopes: readonly ScopeRow[];
  /** Of those that were loaded. */
  readonly holds: readonly WrittenHold[];
  readonly newHolds: readonly WrittenHold[];
  readonly usage: readonly UsageLine[];
  readonly nonces: ReadonlyMap<ScopeId, string>;
}

/**
 * The rows that a transaction has locked, as the acts of a ledger know them: they run on it as they run on memory, and
 * what they changed is written back.
 */
export interface WorkingSet {
  readonly scopes: Scopes;
  readonly holds: Holds;
  readonly usage: UsageLines;
  readonly nonces: Nonces;
  /** Whether it has the hold, open or ended. */
  isKnown(holdId: string): boolean;
  /** Scopes of the holds, which have to be locked, too. */
  scopesOfHolds(): Iterable<ScopeId>;
  changes(): Changes;
}

export interface LoadedRows {
  readonly scopes: readonly ScopeRow[];
  readonly holds: readonly HoldRow[];
}

/** @param onCorrupt is told of each row that cannot be read, and why */
export function createWorkingSet(
  rows: LoadedRows,
  onCorrupt: (table: 'scopes' | 'holds', id: string, error: unknown) => void,
): WorkingSet {
  const counters = new Map<string, { counters: ScopeCounters; stored: string }>();
  const open = new Map<string, OpenHold>();
  const ended = new Map<string, { ended: EndedHold; untilMs: number }>();
  const stored = new Map<string, HoldRow>();
  const unreadable = new Set<string>();
  const usage: UsageLine[] = [];
  const nonces = new Map<ScopeId, string>();
  /** No lease ends before: each admission of a batch asks for those that have ended. */
  let firstLeaseEndsAtMs = Infinity;

  for (const row of rows.scopes) {
    const scopeId = row.id as ScopeId;
    try {
      counters.set(scopeId, { counters: readScope(scopeId, row.state), stored: row.state });
    } catch (error) {
      onCorrupt('scopes', scopeId, error);
      unreadable.add(scopeId);
      counters.set(scopeId, { counters: denied(scopeId), stored: row.state });
    }
  }
  // They were locked in the order of their ids; leases that end at once end in the order of opening.
  for (const row of rows.holds.toSorted((a, b) => Number(a.number) - Number(b.number))) {
    const untilMs = Number(row.until_ms);
    stored.set(row.id, row);
    try {
      if (row.has_ended) ended.set(row.id, { ended: readEnded(row.id, row.body), untilMs });
      else keepOpen(readOpen(row.id, untilMs, row.body ?? ''));
    } catch (error) {
      onCorrupt('holds', row.id, error);
      // Nobody knows what it held: it counts as ended, and is forgotten with the others of its time.
      ended.set(row.id, { ended: 'ended', untilMs: untilMs + hourMs });
    }
  }

  function keepOpen(hold: OpenHold): void {
    open.set(hold.holdId, hold);
    firstLeaseEndsAtMs = Math.min(firstLeaseEndsAtMs, hold.leaseEndsAtMs);
  }

  return {
    scopes: { find: (scopeId) => counters.get(scopeId)?.counters },

    holds: {
      find: (holdId) => open.get(holdId),
      open(hold, nowMs) {
        hold.leaseEndsAtMs = nowMs + hold.leaseMs;
        keepOpen(hold);
      },
      renew(hold, nowMs) {
        hold.leaseEndsAtMs = nowMs + hold.leaseMs;
        keepOpen(hold);
      },
      expired(nowMs) {
        if (nowMs < firstLeaseEndsAtMs) return undefined;
        let first: OpenHold | undefined;
        for (const hold of open.values()) {
          if (hold.leaseEndsAtMs > nowMs) continue;
          if (first === undefined || hold.leaseEndsAtMs < first.leaseEndsAtMs) first = hold;
        }
        return first;
      },
      end(hold, nowMs) {
        open.delete(hold.holdId);
        const abandoned = wasAbandoned(hold.calls);
        ended.set(hold.holdId, {
          ended: abandoned ? hold.calls : 'ended',
          untilMs: nowMs + (abandoned ? 24 * hourMs : hourMs),
        });
      },
      findEnded: (holdId) => ended.get(holdId)?.ended,
      rememberEnded: (holdId, value, nowMs) => ended.set(holdId, { ended: value, untilMs: nowMs + hourMs }),
    },

    usage: {
      append(event) {
        usage.push({ event, replaced: null });
        return event;
      },
      replace(replaced, event) {
        usage.push({ event, replaced });
        return event;
      },
    },

    nonces: {
      draw(scopeId) {
        const nonce = nonces.get(scopeId) ?? randomUUID();
        nonces.set(scopeId, nonce);
        return nonce;
      },
    },

    isKnown: (holdId) => open.has(holdId) || ended.has(holdId),

    *scopesOfHolds() {
      for (const { calls } of open.values()) yield* scopesOf(calls);
      for (const { ended: value } of ended.values()) if (Array.isArray(value)) yield* scopesOf(value);
    },

    changes() {
      const changedScopes: ScopeRow[] = [];
      for (const [id, scope] of counters) {
        if (unreadable.has(id)) continue;
        const state = writeScope(scope.counters);
        if (state !== scope.stored) changedScopes.push({ id, state });
      }
      const holds = [
        ...[...open].map(([id, hold]) => {
          return { id, has_ended: false, until_ms: hold.leaseEndsAtMs, body: writeCalls(hold.calls) };
        }),
        ...[...ended].map(([id, { ended: value, untilMs }]) => {
          return { id, has_ended: true, until_ms: untilMs, body: writeEnded(value) };
        }),
      ];
      return {
        scopes: changedScopes,
        holds: holds.filter((row) => isChanged(row, stored.get(row.id))),
        newHolds: holds.filter(({ id }) => !stored.has(id)),
        usage,
        nonces,
      };
    },
  };
}

/** Counters that admit nothing, in place of some that cannot be read. They are not written back. */
function denied(scopeId: ScopeId): ScopeCounters {
  const counters = createCounters(scopeId, 0);
  counters.closed = true;
  return counters;
}

function* scopesOf(calls: readonly Call[]) {
  for (const { hold } of calls) for (const { scopeId } of hold.takes) yield scopeId;
}

function isChanged(row: WrittenHold, from: HoldRow | undefined): boolean {
  if (from === undefined) return false;
  return row.has_ended !== from.has_ended || row.until_ms !== Number(from.until_ms) || row.body !== from.body;
}
