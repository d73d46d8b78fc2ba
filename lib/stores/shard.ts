import type { ScopeId } from '../limits/limit.ts';

export const shardCount = 64;

/**
 * The shard in which a scope's counters live in a store of several shards. It depends on the id alone, so that it never
 * changes: the id of a new key is drawn until it falls into the shard of its team, else its owner, so that all that an
 * admission usually counts is in one place.
 */
export function shardOf(scopeId: ScopeId): number {
  // FNV-1a over UTF-16 code units, without the kind before the colon.
  let hash = 0x811c9dc5;
  for (let index = scopeId.indexOf(':') + 1; index < scopeId.length; index += 1) {
    hash = Math.imul(hash ^ scopeId.charCodeAt(index), 0x01000193);
  }
  return ((hash ^ (hash >>> 15)) >>> 0) % shardCount;
}
