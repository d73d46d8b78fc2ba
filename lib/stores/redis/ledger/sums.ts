import type { UsageQuery, UsageRow } from '../../../usage/usage.ts';
import { type HourlySum, sumUsage } from '../../usage-sums.ts';
import { unquoted } from '../records/names.ts';
import { type LedgerContext, ledgerScript } from './acts.ts';
import { dayMs, readSumsField } from './lines.ts';

/** So many hashes are read by one call. */
const hashesPerCall = 100;

/** What finding the sums of usage needs of a client. */
export interface DaysClient {
  zrangebyscore(key: string, from: string, to: string): Promise<string[]>;
  smembers(key: string): Promise<string[]>;
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

  async function readSums(home: number, days: readonly KeyDay[]): Promise<readonly HourlySum[]> {
    const keys = days.map(({ keyId, day }) => names.sums(home, keyId, day));
    const reply = await context.run(readSumsScript, keys, []);
    return days.flatMap(({ keyId }, index) =>
      (reply[index] ?? []).map(([field, ...counts]) => ({ ...readSumsField(field), keyId, ...readCounts(counts) })),
    );
  }

  return async function usage(query: UsageQuery): Promise<readonly UsageRow[]> {
    const batches: Promise<readonly HourlySum[]>[] = [];
    const found = await daysOf(query);
    for (const home of new Set(found.map((keyDay) => keyDay.home))) {
      const days = found.filter((keyDay) => keyDay.home === home);
      for (let start = 0; start < days.length; start += hashesPerCall) {
        batches.push(readSums(home, days.slice(start, start + hashesPerCall)));
      }
    }
    return sumUsage((await Promise.all(batches)).flat(), query);
  };
}

/** In the order in which `ledger-usage.lua` keeps them. */
function readCounts(counts: readonly number[]) {
  const [requests = 0, inputTokens = 0, outputTokens = 0, cacheReadTokens = 0, cacheWriteTokens = 0] = counts;
  const [costNanoUsd = 0, adjustedNanoUsd = 0] = counts.slice(5);
  return { requests, inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, costNanoUsd, adjustedNanoUsd };
}
