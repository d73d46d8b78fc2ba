import type { UsageDimension, UsageQuery, UsageRow } from '../../../usage/usage.ts';
import { unquoted } from '../records/names.ts';
import { type LedgerContext, ledgerScript, runAct } from './acts.ts';
import { dayMs, readSumsField, type SumsOf } from './lines.ts';

const hourMs = 3_600_000;
/** So many hashes are read by one call. */
const hashesPerCall = 100;

/** What finding the sums of usage needs of a client. */
export interface DaysClient {
  zrangebyscore(key: string, from: string, to: string): Promise<string[]>;
  smembers(key: string): Promise<string[]>;
}

interface Sum extends SumsOf {
  readonly keyId: string;
  readonly counts: readonly number[];
}

type SumRow = readonly [field: string, ...counts: number[]];
const readSumsScript = ledgerScript<readonly (readonly SumRow[])[]>('read-sums');

interface KeyDay {
  readonly home: number;
  readonly keyId: string;
  readonly day: number;
}

/** Sums of usage by the hour: a hash for each key and day. */
export function createUsageSums(client: DaysClient, context: LedgerContext) {
  const { names } = context;

  async function daysOf({ keyId, fromMs, untilMs }: UsageQuery): Promise<readonly KeyDay[]> {
    const from = fromMs === undefined ? -Infinity : Math.floor(fromMs / dayMs);
    const until = untilMs === undefined ? Infinity : Math.floor(untilMs / dayMs);
    if (keyId !== undefined) {
      const home = names.shardOf(`key:${keyId}`);
      const days = (await client.smembers(names.daysOfKey(home, keyId))).map(Number);
      return days.filter((day) => day >= from && day <= until).map((day) => ({ home, keyId, day }));
    }
    const score = (day: number) => (Number.isFinite(day) ? String(day) : day < 0 ? '-inf' : '+inf');
    const found = names.shards.map(async (home) => {
      const members = await client.zrangebyscore(names.days(home), score(from), score(until));
      return members.map((member): KeyDay => {
        const space = member.indexOf(' ');
        return { home, keyId: unquoted(member.slice(space + 1)), day: Number(member.slice(0, space)) };
      });
    });
    return (await Promise.all(found)).flat();
  }

  async function readSums(home: number, days: readonly KeyDay[]): Promise<readonly Sum[]> {
    const keys = days.map(({ keyId, day }) => names.sums(home, keyId, day));
    const reply = await runAct(context, readSumsScript, keys, {});
    return days.flatMap(({ keyId }, index) =>
      (reply[index] ?? []).map(([field, ...counts]): Sum => ({ ...readSumsField(field), keyId, counts })),
    );
  }

  return async function usage(query: UsageQuery): Promise<readonly UsageRow[]> {
    const batches: Promise<readonly Sum[]>[] = [];
    const found = await daysOf(query);
    for (const home of new Set(found.map((keyDay) => keyDay.home))) {
      const days = found.filter((keyDay) => keyDay.home === home);
      for (let start = 0; start < days.length; start += hashesPerCall) {
        batches.push(readSums(home, days.slice(start, start + hashesPerCall)));
      }
    }
    return grouped((await Promise.all(batches)).flat(), query);
  };
}

function grouped(sums: readonly Sum[], query: UsageQuery): readonly UsageRow[] {
  const rows = new Map<string, { readonly group: UsageRow['group']; readonly counts: number[] }>();
  for (const sum of sums) {
    if (!matches(sum, query)) continue;
    const values = query.groupBy.map((dimension) => groupValue(sum, dimension));
    const name = values.map((value) => value ?? '').join('\0');
    const group = Object.fromEntries(query.groupBy.map((dimension, index) => [dimension, values[index] ?? null]));
    const row = rows.get(name) ?? { group, counts: [0, 0, 0, 0, 0, 0, 0] };
    rows.set(name, row);
    for (const [index, count] of sum.counts.entries()) row.counts[index] = (row.counts[index] ?? 0) + count;
  }
  const sorted = [...rows.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([, { group, counts }]) => rowOf(group, counts, query.keyId !== undefined));
}

/** Adjustments belong to their key alone. */
function rowOf(group: UsageRow['group'], counts: readonly number[], isOfKey: boolean): UsageRow {
  const [requests = 0, inputTokens = 0, outputTokens = 0, cacheReadTokens = 0, cacheWriteTokens = 0] = counts;
  const [cost = 0, adjusted = 0] = counts.slice(5);
  const costNanoUsd = isOfKey ? cost + adjusted : cost;
  return { group, requests, inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, costNanoUsd };
}

function matches(sum: Sum, query: UsageQuery): boolean {
  const { ownerIds, teamIds, model, fromMs, untilMs } = query;
  if (ownerIds !== undefined && !(sum.ownerId !== null && ownerIds.includes(sum.ownerId))) return false;
  if (teamIds !== undefined && !(sum.teamId !== null && teamIds.includes(sum.teamId))) return false;
  if (model !== undefined && sum.model !== model) return false;
  if (fromMs !== undefined && sum.hourMs + hourMs <= fromMs) return false;
  return untilMs === undefined || sum.hourMs < untilMs;
}

function groupValue(sum: Sum, dimension: UsageDimension): string | null {
  switch (dimension) {
    case 'key':
      return sum.keyId;
    case 'owner':
      return sum.ownerId;
    case 'team':
      return sum.teamId;
    case 'model':
      return sum.model;
    case 'endpoint':
      return sum.endpoint;
    case 'day':
      return new Date(sum.hourMs).toISOString().slice(0, 10);
  }
}
