import type { UsageEvent } from '../../../usage/usage.ts';
import type { UsageEventPage } from '../../store.ts';
import type { LedgerNames } from './names.ts';

/** What reading the lines of usage needs of a client. */
export interface StreamClient {
  xrange(key: string, from: string, to: string, count: 'COUNT', limit: number): Promise<[string, string[]][]>;
  xtrim(key: string, strategy: 'MINID', id: string): Promise<number>;
}

interface Read {
  readonly shard: number;
  readonly id: string;
  readonly event: UsageEvent;
}

/** The lines of the usage record, each shard's in its own stream. A cursor says of each how far it was read. */
export function createUsageEvents(client: StreamClient, names: LedgerNames) {
  async function readShard(shard: number, after: string | undefined, limit: number): Promise<readonly Read[]> {
    const from = after === undefined ? '-' : `(${after}`;
    const entries = await client.xrange(names.usage(shard), from, '+', 'COUNT', limit);
    return entries.map(([id, fields]) => ({ shard, id, event: JSON.parse(fields[1] ?? 'null') }));
  }

  return {
    async usageEvents(after: string | null, limit: number): Promise<UsageEventPage> {
      const read = readCursor(after);
      const shards = names.shards.map((shard) => readShard(shard, read.get(shard), limit));
      const page = (await Promise.all(shards)).flat().sort(byTime).slice(0, limit);
      for (const { shard, id } of page) read.set(shard, id);
      return { events: page.map(({ event }) => event), cursor: writeCursor(read) };
    },

    async trimUsage(until: string): Promise<void> {
      const read = [...readCursor(until)];
      await Promise.all(read.map(([shard, id]) => client.xtrim(names.usage(shard), 'MINID', next(id))));
    },
  };
}

/** Ids of entries are the server's ms and a number within it. */
function byTime(a: Read, b: Read): number {
  const [aMs = 0, aNumber = 0] = a.id.split('-').map(Number);
  const [bMs = 0, bNumber = 0] = b.id.split('-').map(Number);
  return aMs - bMs || (a.shard === b.shard ? aNumber - bNumber : a.shard - b.shard);
}

function next(id: string): string {
  const [ms, number = '0'] = id.split('-');
  return `${ms}-${BigInt(number) + 1n}`;
}

function readCursor(cursor: string | null): Map<number, string> {
  if (cursor === null || cursor === '') return new Map();
  return new Map(
    cursor.split(' ').map((part): [number, string] => {
      const [shard = '', id = ''] = part.split(':');
      return [Number(shard), id];
    }),
  );
}

function writeCursor(read: ReadonlyMap<number, string>): string {
  return [...read].map(([shard, id]) => `${shard}:${id}`).join(' ');
}
