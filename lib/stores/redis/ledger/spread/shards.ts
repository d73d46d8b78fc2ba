import type { Take } from '../../../../limits/limit.ts';
import type { LedgerNames } from '../names.ts';

/** Shards, as scripts keep them. */
export function writeShards(shards: Iterable<number>): string {
  return Array.from(shards, (shard) => `${shard} `).join('');
}

export function readShards(text: string): readonly number[] {
  return text.split(' ').filter(Boolean).map(Number);
}

/** The shards other than the home of a call in which it takes. */
export function otherShards({ shardOf }: Pick<LedgerNames, 'shardOf'>, takes: readonly Take[], home: number): number[] {
  const shards = new Set(takes.map(({ scopeId }) => shardOf(scopeId)));
  shards.delete(home);
  return [...shards];
}
