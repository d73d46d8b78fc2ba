import { randomUUID } from 'node:crypto';
import { shardOf } from '../stores/shard.ts';

/**
 * A random id in the shard of the key's team, else of its owner: what an admission counts is then in one place of a store
 * of several shards. It stays there when the key is moved. Takes some 64 draws, each of which costs less than a microsecond.
 */
export function mintKeyId({ teamId, ownerId }: { teamId: string | null; ownerId: string | null }): string {
  const neighbour = teamId ?? ownerId;
  if (neighbour === null) return randomUUID();
  const shard = shardOf(`team:${neighbour}`);
  for (;;) {
    const id = randomUUID();
    if (shardOf(`key:${id}`) === shard) return id;
  }
}
