import type { ScopeId, Take } from '../../../limits/limit.ts';
import { shardCount, shardOf } from '../../shard.ts';
import type { Hold } from '../../store.ts';
import { quoted, unquoted } from '../records/names.ts';

/** What the keys of the ledger are called. What stands in braces decides the slot. */
export type LedgerNames = ReturnType<typeof ledgerNames>;

/** With `isOneSlot` all scopes are in the first shard: an act on several of them is atomic on a Cluster, too. */
export function ledgerNames(prefix: string, { isOneSlot }: { readonly isOneSlot: boolean }) {
  const shards = isOneSlot ? [0] : Array.from({ length: shardCount }, (_, shard) => shard);
  const base = (shard: number) => `${prefix}{${String(shard).padStart(2, '0')}}:`;
  const shard = (scopeId: ScopeId) => (isOneSlot ? 0 : shardOf(scopeId));
  return {
    shards,
    shardOf: shard,
    /** Where the holds and the usage of a key are. */
    homeOf: ({ subject }: Pick<Hold, 'subject'>) => shard(`key:${subject.keyId}`),
    scope: (scopeId: ScopeId) => `${base(shard(scopeId))}s:${quoted(scopeId)}`,
    nonce: (scopeId: ScopeId) => `${base(shard(scopeId))}n:${quoted(scopeId)}`,
    hold: (home: number, holdId: string) => `${base(home)}h:${quoted(holdId)}`,
    /** Holds, scored by the end of their lease. */
    leases: (home: number) => `${base(home)}leases`,
    /** The lines of the usage record. */
    usage: (home: number) => `${base(home)}usage`,
    /** Keys, scored by the days on which they have sums. */
    days: (home: number) => `${base(home)}days`,
    sums: (home: number, keyId: string, day: number) => `${base(home)}u:${day}:${quoted(keyId)}`,
    daysOfKey: (home: number, keyId: string) => `${base(home)}d:${quoted(keyId)}`,
    /** Remembers that something was done. */
    mark: (home: number, id: string) => `${base(home)}m:${quoted(id)}`,
  };
}

/** A counter as scripts know it: `id` names it in its scope. */
export interface Counter {
  readonly scope: string;
  readonly kind: Take['measure'];
  readonly id: string;
  readonly size: number;
}

export function counterOf({ scopeId, id, measure, windowMs, periodStartMs }: Take): Counter {
  const name = measure === 'budget' ? budgetField(id, periodStartMs) : quoted(id);
  return { scope: quoted(scopeId), kind: measure, id: name, size: windowMs };
}

export function budgetField(budgetId: string, periodStartMs: number): string {
  return `b:${periodStartMs}:${quoted(budgetId)}`;
}

export function readBudgetField(field: string): { readonly budgetId: string; readonly periodStartMs: number } {
  const end = field.indexOf(':', 2);
  return { budgetId: unquoted(field.slice(end + 1)), periodStartMs: Number(field.slice(2, end)) };
}

/** The name of a scope as scripts were given it. */
export function readScope(name: string): ScopeId {
  return unquoted(name) as ScopeId;
}
