import type { Knex } from 'knex';
import { createVirtualKeys } from '../../lib/keys/create-virtual-keys.ts';
import { internalsOf } from '../../lib/keys/internals.ts';
import { migrate } from '../../lib/stores/postgres/migrate.ts';
import { postgresStore } from '../../lib/stores/postgres/postgres-store.ts';
import { type Act, admissions } from '../admissions.ts';
import { timesAt } from '../loads.ts';
import { type Bench, duration, figuresOf, type Report, speed } from '../report.ts';
import { amounts, endpoint, model, sixLimits } from '../sample-keys.ts';
import { betterAuthKey, flexibleLimiter, oneLimit, verifyApiKey } from './peers.ts';
import { onPostgres, type PostgresOfBench } from './server.ts';

/** What one process gets through. */
export const postgresCallsBench: Bench = {
  name: 'postgres-calls',
  title:
    'admissions of one process on the Postgres store, fsync on; consumptions of rate-limiter-flexible (RLF), ' +
    'and verifyApiKey of @better-auth/api-key',
  run: () => onPostgres(measure),
};

async function measure({ knex, pool, store }: PostgresOfBench): Promise<Report> {
  const hot = await admissions(store, 1);
  const hot14 = await admissions(store, 1, 14);
  const many = await admissions(store, 1000);
  const many14 = await admissions(store, 1000, 14);
  const consumeHot = await flexibleLimiter(knex, hot.keyIds);
  const consumeMany = await flexibleLimiter(knex, many.keyIds);
  const uncached = await uncachedCalls(knex);
  const verify = await betterAuthKey(pool);
  const ofOneKey = {
    'admit(6), one key': hot.admit,
    'read + admit(6), one key': uncached.call,
    [`${oneLimit}, one key`]: consumeHot,
    [`${verifyApiKey}, one key`]: verify,
  };
  const pairs = { 'admit(6) + settle, one key': hot.pair, 'admit(14), one key': hot14.admit };
  const ofManyKeys = {
    'admit(6), 1,000 keys': many.admit,
    'admit(6) + settle, 1,000 keys': many.pair,
    'admit(14), 1,000 keys': many14.admit,
    [`${oneLimit}, 1,000 keys`]: consumeMany,
  };
  const handicaps = { [`${verifyApiKey}, one key`]: 20, 'read + admit(6), one key': 4 };

  const alone = await timesAt(1, ofOneKey, { operations: 250 });
  const at20 = await timesAt(20, { ...ofOneKey, ...pairs, ...ofManyKeys }, { operations: 2000, handicaps });
  const at64 = await timesAt(64, { ...ofOneKey, ...pairs, ...ofManyKeys }, { operations: 4000, handicaps });
  await uncached.close();

  const times = new Map([...alone, ...at20, ...at64]);
  return {
    figures: figuresOf(times),
    ratios: [
      speed(times, 'admit(6), one key, c=20', `${oneLimit}, one key, c=20`, 7),
      speed(times, 'admit(6), one key, c=64', `${oneLimit}, one key, c=20`, 15),
      speed(times, 'admit(6), one key, c=64', `${oneLimit}, one key, c=64`),
      speed(times, 'admit(6), 1,000 keys, c=20', `${oneLimit}, 1,000 keys, c=20`, 1.2),
      speed(times, 'admit(6), 1,000 keys, c=64', `${oneLimit}, 1,000 keys, c=64`, 2),
      duration(times, 'admit(6), one key, c=1', `${oneLimit}, one key, c=1`, 1.6),
      speed(times, 'read + admit(6), one key, c=1', `${verifyApiKey}, one key, c=1`),
      speed(times, 'read + admit(6), one key, c=20', `${verifyApiKey}, one key, c=20`),
      speed(times, 'read + admit(6), one key, c=64', `${verifyApiKey}, one key, c=64`),
    ],
  };
}

/** As `verifyApiKey` does it: the key is read anew for each call. Of another schema, where nobody else has policies. */
async function uncachedCalls(knex: Knex): Promise<{ readonly call: Act; close(): Promise<void> }> {
  const schema = 'llm_keys_read';
  await migrate(knex, { schema });
  const store = postgresStore({ knex, schema, notifications: 'poll' });
  const keys = createVirtualKeys({ store, cacheMs: 0, storeTimeoutMs: 30_000 });
  const { secret } = await keys.create({ name: 'Bench', models: [model], ...sixLimits });
  const { verify, admissions } = internalsOf('bench', keys);
  const demand = { model, endpoint, amounts, trace: null };
  return {
    async call() {
      const verification = await verify(secret);
      if (!verification.valid) return false;
      const { outcome } = await admissions.admit(verification, demand, async () => ({ refused: 'changed' }));
      return outcome === 'granted';
    },
    async close() {
      await keys.close();
      await store.close();
    },
  };
}
