import type { ScopeId, Take } from '../../../limits/limit.ts';
import { shardCount, shardOf } from '../../shard.ts';
import type { Hold } from '../../store.ts';
import { quoted, unquoted } from '../records/names.ts';

/** What the keys of the ledger are called. What stands in braces decides the slot. */
export type LedgerNames = ReturnType<typeof ledgerNames>;

/** Spread, the scopes are in as many slots as there are shards; else all are in one, whose acts reach every one of them. */
export function ledgerNames(prefix: string, { isSpread }: { readonly isSpread: boolean }) {
  const shards = Array.from({ length: isSpread ? shardCount : 1 }, (_, shard) => shard);
  const bases = shards.map((shard) => `${prefix}{${String(shard).padStart(2, '0')}}:`);
  const shard = (scopeId: ScopeId) => (isSpread ? shardOf(scopeId) : 0);
  return {
    shards,
    shardOf: shard,
    /** Where the holds and the usage of a key are. */
    homeOf: ({ subject }: Pick<Hold, 'subject'>) => shard(`key:${subject.keyId}`),
    scope: (scopeId: ScopeId) => `${bases[shard(scopeId)]}s:${quoted(scopeId)}`,
    /** A copy of the fence of a scope that counts nothing here, and is in another shard. */
    fenceCopy: (home: number, scopeId: ScopeId) => `${bases[home]}f:${quoted(scopeId)}`,
    nonce: (scopeId: ScopeId) => `${bases[shard(scopeId)]}n:${quoted(scopeId)}`,
    hold: (home: number, holdId: string) => `${bases[home]}h:${quoted(holdId)}`,
    /** Holds, scored by the end of their lease. */
    leases: (home: number) => `${bases[home]}leases`,
    /** The lines of the usage record. */
    usage: (home: number) => `${bases[home]}usage`,
    /** Keys, scored by the days on which they have sums. */
    days: (home: number) => `${bases[home]}days`,
    sums: (home: number, keyId: string, day: number) => `${bases[home]}u:${day}:${quoted(keyId)}`,
    daysOfKey: (home: number, keyId: string) => `${bases[home]}d:${quoted(keyId)}`,
    /** Remembers that something was done. */
    mark: (home: number, id: string) => `${bases[home]}m:${quoted(id)}`,
  };
}

/** What plans call the limit of open holds. */
const slotsId = 'parallel';

/** The field of a scope's hash that counts what is taken: it tells all of the take but its scope. */
export function fieldOf({ measure, id, windowMs, periodStartMs }: Take): string {
  switch (measure) {
    case 'requests':
      return `q:${windowMs}:${quoted(id)}`;
    case 'tokens':
      return `t:${windowMs}:${quoted(id)}`;
    case 'concurrency':
      return 'o';
    case 'budget':
      return budgetField(id, periodStartMs);
  }
}

export function readField(field: string): Omit<Take, 'scopeId'> {
  if (field === 'o') return { id: slotsId, measure: 'concurrency', windowMs: 0, periodStartMs: 0 };
  const kind = field.slice(0, 2);
  const end = field.indexOf(':', 2);
  const number = Number(field.slice(2, end));
  const id = unquoted(field.slice(end + 1));
  if (kind === 'b:') return { id, measure: 'budget', windowMs: 0, periodStartMs: number };
  return { id, measure: kind === 'q:' ? 'requests' : 'tokens', windowMs: number, periodStartMs: 0 };
}

export function budgetField(budgetId: string, periodStartMs: number): string {
  return `b:${periodStartMs}:${quoted(budgetId)}`;
}

/** The name of a scope as scripts were given it. */
export function readScope(name: string): ScopeId {
  return unquoted(name) as ScopeId;
}
