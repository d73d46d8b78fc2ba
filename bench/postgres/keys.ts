import type { Knex } from 'knex';
import { randomId } from '../../lib/random-id.ts';
import type { Store } from '../../lib/stores/store.ts';
import { admissions, knownAdmissions } from '../admissions.ts';
import { timesAt } from '../loads.ts';
import { type Bench, figuresOf, type Report, speed } from '../report.ts';
import { flexibleLimiter, oneLimit } from './peers.ts';
import { onPostgres, type PostgresOfBench } from './server.ts';

/** The same with so many keys that hardly one is asked for twice. */
export const postgresKeysBench: Bench = {
  name: 'postgres-keys',
  title: 'admissions of 100,000 keys on the Postgres store, fsync on',
  run: () => onPostgres(measure),
};

async function measure({ knex, store }: PostgresOfBench): Promise<Report> {
  const keyIds = await knownKeys(knex, store, 100_000);
  const { admit, pair } = knownAdmissions(store, keyIds);
  const consume = await flexibleLimiter(knex, keyIds);
  const acts = { 'admit(6)': admit, 'admit(6) + settle': pair, [oneLimit]: consume };
  const at20 = await timesAt(20, acts, { operations: 2000 });
  const at64 = await timesAt(64, acts, { operations: 4000 });
  const times = new Map([...at20, ...at64]);
  return {
    figures: figuresOf(times),
    ratios: [speed(times, 'admit(6), c=20', `${oneLimit}, c=20`), speed(times, 'admit(6), c=64', `${oneLimit}, c=64`)],
  };
}

/** One key is made known to the ledger, and all others as copies of it: to ask for each would take minutes. */
async function knownKeys(knex: Knex, store: Store, count: number): Promise<readonly string[]> {
  const [first = ''] = (await admissions(store, 1)).keyIds;
  const copies = Array.from({ length: count - 1 }, () => randomId());
  await knex.raw(
    `insert into llm_keys.scopes (id, state)
     select 'key:' || copy, state from unnest(?::text[]) as copy, llm_keys.scopes where scopes.id = ?`,
    [copies, `key:${first}`],
  );
  await knex.raw('analyze llm_keys.scopes');
  return [first, ...copies];
}
