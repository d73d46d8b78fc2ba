/** Shards, as scripts keep them. */
export function writeShards(shards: Iterable<number>): string {
  return Array.from(shards, (shard) => `${shard} `).join('');
}

export function readShards(text: string): readonly number[] {
  return text.split(' ').filter(Boolean).map(Number);
}
