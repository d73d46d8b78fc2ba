import { randomUUID } from 'node:crypto';
import type { UsageLines } from '../../ledger/places.ts';
import type { UsageEvent, UsageQuery, UsageRow } from '../../usage/usage.ts';
import type { UsageEventPage } from '../store.ts';
import { type HourlySum, noCounts, sumUsage } from '../usage-sums.ts';

const hourMs = 3_600_000;

/** The most different model names that are counted apart; further ones count as `other`. */
const maxModelNames = 1000;

type Bucket = { -readonly [field in keyof HourlySum]: HourlySum[field] };

/** The usage record: the latest events one by one, and sums by the hour of all that are not too old. */
export interface UsageLog extends UsageLines {
  query(query: UsageQuery): readonly UsageRow[];
  read(after: string | null, limit: number): UsageEventPage;
  /** Forgets the events up to this cursor; the sums stay. */
  trim(until: string): void;
  /** How many events are kept. */
  count(): number;
}

export interface UsageLogOptions {
  readonly maxEvents: number;
  readonly maxSums: number;
}

export function createUsageLog({ maxEvents, maxSums }: UsageLogOptions): UsageLog {
  // A cursor that another log gave says nothing about this one: it is read from its beginning.
  const logId = randomUUID();
  let events: UsageEvent[] = [];
  let firstEvent = 0;
  const buckets = new Map<string, Bucket>();
  // By key, since its next call is most often like its last one: that saves making the name of the bucket.
  const latest = new Map<string, Bucket>();
  const modelNames = new Set<string>();

  function write(event: UsageEvent): void {
    events.push(event);
    if (events.length < maxEvents * 2) return;
    firstEvent += events.length - maxEvents;
    events = events.slice(-maxEvents);
  }

  function positionAfter(cursor: string | null): number {
    return cursor?.startsWith(`${logId}:`) ? Number(cursor.slice(logId.length + 1)) : 0;
  }

  function counted(model: string | null): string | null {
    if (model === null || modelNames.has(model)) return model;
    if (modelNames.size >= maxModelNames) return 'other';
    modelNames.add(model);
    return model;
  }

  function count(event: UsageEvent, sign: 1 | -1): void {
    const bucket = bucketOf(event);
    bucket.requests += sign * event.requests;
    bucket.inputTokens += sign * event.inputTokens;
    bucket.outputTokens += sign * event.outputTokens;
    bucket.cacheReadTokens += sign * event.cacheReadTokens;
    bucket.cacheWriteTokens += sign * event.cacheWriteTokens;
    if (event.source === 'adjustment') bucket.adjustedNanoUsd += sign * event.costNanoUsd;
    else bucket.costNanoUsd += sign * event.costNanoUsd;
  }

  function bucketOf(event: UsageEvent): Bucket {
    const recent = latest.get(event.keyId);
    if (recent !== undefined && belongsTo(event, recent)) return recent;
    const bucket = namedBucket(event);
    latest.set(event.keyId, bucket);
    return bucket;
  }

  function namedBucket(event: UsageEvent): Bucket {
    const startMs = Math.floor(event.atMs / hourMs) * hourMs;
    const model = counted(event.model);
    const { keyId, ownerId, teamId, endpoint } = event;
    // Names are printable, so NUL keeps them apart.
    const name = `${startMs}\0${keyId}\0${ownerId ?? ''}\0${teamId ?? ''}\0${model ?? ''}\0${endpoint ?? ''}`;
    const existing = buckets.get(name);
    if (existing !== undefined) return existing;
    if (buckets.size >= maxSums) dropOldest();
    const bucket = { hourMs: startMs, keyId, ownerId, teamId, model, endpoint, ...noCounts, adjustedNanoUsd: 0 };
    buckets.set(name, bucket);
    return bucket;
  }

  // A tenth at once: taking the oldest of a Map one by one walks over all that was deleted before.
  function dropOldest(): void {
    latest.clear();
    let left = Math.ceil(maxSums / 10);
    for (const name of buckets.keys()) {
      buckets.delete(name);
      left -= 1;
      if (left === 0) return;
    }
  }

  return {
    append(event) {
      write(event);
      count(event, 1);
      return event;
    },
    replace(earlier, event) {
      write(event);
      count(earlier, -1);
      count(event, 1);
      return event;
    },
    query: (query) => sumUsage(buckets.values(), query),
    read(after, limit) {
      const start = Math.max(firstEvent, positionAfter(after));
      const page = events.slice(start - firstEvent, start - firstEvent + limit);
      return { events: page, cursor: `${logId}:${start + page.length}` };
    },
    count: () => events.length,
    trim(until) {
      const position = positionAfter(until);
      if (position <= firstEvent) return;
      events = events.slice(position - firstEvent);
      firstEvent = position;
    },
  };
}

/** Not of a model that is counted as `other`: that one is found by its name. */
function belongsTo(event: UsageEvent, bucket: Bucket): boolean {
  return (
    event.atMs >= bucket.hourMs &&
    event.atMs < bucket.hourMs + hourMs &&
    event.model === bucket.model &&
    event.endpoint === bucket.endpoint &&
    event.ownerId === bucket.ownerId &&
    event.teamId === bucket.teamId
  );
}
