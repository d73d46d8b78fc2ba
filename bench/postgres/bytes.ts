import type { Knex } from 'knex';
import { admissions, inParallel } from '../admissions.ts';
import type { Bench, Figure, Report } from '../report.ts';
import { onPostgres, type PostgresOfBench } from './server.ts';

const keyCount = 5000;
const callsOfKey = 5;

/** What keys and their usage take on the disk, with the indexes, where nothing stale lies between. */
export const postgresBytesBench: Bench = {
  name: 'postgres-bytes',
  title: 'bytes in Postgres of keys with limits of requests, tokens, calls at once and money, and of their calls',
  run: () => onPostgres(measure),
};

async function measure({ knex, store }: PostgresOfBench): Promise<Report> {
  const { pair } = await admissions(store, keyCount, 4);
  const settled = await inParallel(64, keyCount * callsOfKey, pair);
  if (settled !== keyCount * callsOfKey) throw new Error('A call was refused');
  await knex.raw('vacuum full llm_keys.scopes, llm_keys.holds, llm_keys.usage_hours');
  const figure = async (name: string, table: string): Promise<Figure> => {
    return { name, value: await bytesOfRow(knex, table), unit: 'bytes' };
  };
  return {
    figures: [
      await figure('counters of a key', 'scopes'),
      await figure('an ended hold, kept for an hour', 'holds'),
      await figure('a usage event', 'usage_events'),
      await figure("a key's sum of usage of one hour", 'usage_hours'),
    ],
    ratios: [],
  };
}

/** With indexes, and with partitions where there are such. */
async function bytesOfRow(knex: Knex, table: string): Promise<number> {
  const { rows } = await knex.raw<{ rows: { bytes: number; count: number }[] }>(
    `select (select sum(pg_total_relation_size(oid)) from pg_class
              where oid = 'llm_keys.${table}'::regclass
                 or oid in (select inhrelid from pg_inherits where inhparent = 'llm_keys.${table}'::regclass))::float
              as bytes, count(*)::float as count from llm_keys.${table}`,
  );
  const [row] = rows;
  if (row === undefined || row.count === 0) throw new Error(`Postgres keeps nothing in ${table}`);
  return row.bytes / row.count;
}
