import type { UsageEvent } from '../../../usage/usage.ts';
import type { UsageEventPage } from '../../store.ts';
import type { LedgerNames } from './names.ts';

/** What reading the lines of usage needs of a client. */
export interface StreamClient {
  xrange(key: string, from: string, to: string, count: 'COUNT', limit: number): Promise<[string, string[]][]>;
  xtrim(key: string, strategy: 'MINID', id: string): Promise<number>;
  xtrim(
    key: string,
    strategy: 'MAXLEN',
    approximately: '~',
    kept: number,
    limit: 'LIMIT',
    atOnce: number,
  ): Promise<number>;
  xlen(key: string): Promise<number>;
}

/** Lines that one command forgets, and commands for one stream: what is left goes with the next time. */
const forgottenAtOnce = 10_000;
const maxSteps = 100;

interface Read {
  readonly shard: number;
  readonly id: string;
  readonly event: UsageEvent | undefined;
}

export interface UsageEventsOptions {
  readonly client: StreamClient;
  readonly names: LedgerNames;
  /** Is told of lines that somebody edited into nonsense, which are passed over. */
  readonly onUnreadable: (stream: string, id: string) => void;
}

/** The lines of the usage record, each shard's in its own stream. A cursor says of each how far it was read. */
export function createUsageEvents({ client, names, onUnreadable }: UsageEventsOptions) {
  async function readShard(shard: number, after: string | undefined, limit: number): Promise<readonly Read[]> {
    const from = after === undefined ? '-' : `(${after}`;
    const entries = await client.xrange(names.usage(shard), from, '+', 'COUNT', limit);
    return entries.map(([id, fields]) => ({ shard, id, event: readEvent(fields[1]) }));
  }

  function lengths() {
    return Promise.all(names.shards.map(async (shard) => ({ shard, length: await client.xlen(names.usage(shard)) })));
  }

  async function shorten(shard: number, kept: number): Promise<void> {
    for (let step = 0; step < maxSteps; step += 1) {
      const gone = await client.xtrim(names.usage(shard), 'MAXLEN', '~', kept, 'LIMIT', forgottenAtOnce);
      if (gone === 0) return;
    }
  }

  return {
    async usageEvents(after: string | null, limit: number): Promise<UsageEventPage> {
      const read = readCursor(after);
      const shards = names.shards.map((shard) => readShard(shard, read.get(shard), limit));
      const page = (await Promise.all(shards)).flat().sort(byTime).slice(0, limit);
      for (const { shard, id, event } of page) {
        read.set(shard, id);
        if (event === undefined) onUnreadable(names.usage(shard), id);
      }
      return { events: page.flatMap(({ event }) => event ?? []), cursor: writeCursor(read) };
    },

    async countUsage(): Promise<number> {
      return (await lengths()).reduce((sum, { length }) => sum + length, 0);
    },

    /** Each stream keeps its part of so many lines: whole blocks of some lines go, so that a few more may stay. */
    async keepLatest(maxLines: number): Promise<void> {
      const found = await lengths();
      const count = found.reduce((sum, { length }) => sum + length, 0);
      if (count <= maxLines) return;
      await Promise.all(found.map(({ shard, length }) => shorten(shard, Math.floor((length * maxLines) / count))));
    },

    async trimUsage(until: string): Promise<void> {
      const read = [...readCursor(until)];
      await Promise.all(read.map(([shard, id]) => client.xtrim(names.usage(shard), 'MINID', next(id))));
    },
  };
}

/** `undefined` for what is no event any more. */
function readEvent(text: string | undefined): UsageEvent | undefined {
  try {
    const event: unknown = JSON.parse(text ?? '');
    return isUsageEvent(event) ? event : undefined;
  } catch {
    return undefined;
  }
}

function isUsageEvent(value: unknown): value is UsageEvent {
  if (typeof value !== 'object' || value === null) return false;
  const { keyId, holdId, callId, source, ownerId, teamId, model, endpoint, trace, ...counts } = value as UsageEvent;
  const isText = (text: unknown) => typeof text === 'string';
  return (
    [keyId, holdId, callId, source].every(isText) &&
    [ownerId, teamId, model, endpoint, trace].every((text) => text === null || isText(text)) &&
    countNames.every((name) => Number.isSafeInteger(counts[name]))
  );
}

const countNames = [
  'requests',
  'inputTokens',
  'outputTokens',
  'cacheReadTokens',
  'cacheWriteTokens',
  'costNanoUsd',
  'atMs',
] as const;

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
