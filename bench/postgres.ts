import knexFactory, { type Knex } from 'knex';
import { RateLimiterPostgres } from 'rate-limiter-flexible';
import { migrate } from '../lib/stores/postgres/migrate.ts';
import { postgresStore } from '../lib/stores/postgres/postgres-store.ts';
import { ownPostgresServer } from '../test/support/services/postgres-server.ts';
import { type Act, admissions, inParallel } from './admissions.ts';
import { type Contender, race } from './race.ts';
import type { Bench, Figure, Ratio } from './report.ts';
import { sixLimits } from './sample-keys.ts';

const manyKeys = 1000;

/** The store alone on a server of its own, which writes each commit to the disk. */
export const postgresBench: Bench = {
  name: 'postgres',
  title: 'admit with 6 limits on the Postgres store, fsync on',
  async run() {
    const server = await ownPostgresServer({ fsync: true });
    const knex = knexFactory({ client: 'pg', connection: server.url, pool: { min: 0, max: 20 } });
    try {
      return await measure(knex);
    } finally {
      await knex.destroy();
      await server.stop();
    }
  },
};

async function measure(knex: Knex) {
  await migrate(knex);
  const store = postgresStore({ knex, notifications: 'poll' });
  const end = store.open({ logger: console, onNotice: () => undefined });
  const hot = await admissions(store, 1);
  const many = await admissions(store, manyKeys);
  const flexible = await flexibleLimiter(knex);

  const figures: Figure[] = [];
  const timeAt = async (callers: number, operations: number, contenders: Record<string, Act>) => {
    const listed = Object.entries(contenders).map(([name, act]): Contender => {
      return { name: `${name}, c=${callers}`, run: (times) => inParallel(callers, times, act) };
    });
    const times = await race(listed, { operations, rounds: 5 });
    for (const [name, value] of times) figures.push({ name, value, unit: 'ns' });
    return times;
  };
  const one = () => flexible('hot');
  const spread = (index: number) => flexible(`key ${index % manyKeys}`);

  const alone = await timeAt(1, 300, {
    'admit, hot key': hot.admit,
    'one limit of rate-limiter-flexible, hot key': one,
  });
  const at20 = await timeAt(20, 2000, {
    'admit, hot key': hot.admit,
    'admit + settle, hot key': hot.pair,
    [`admit, ${manyKeys} keys`]: many.admit,
    'one limit of rate-limiter-flexible, hot key': one,
    [`one limit of rate-limiter-flexible, ${manyKeys} keys`]: spread,
  });
  const at64 = await timeAt(64, 4000, {
    'admit, hot key': hot.admit,
    'admit + settle, hot key': hot.pair,
    [`admit, ${manyKeys} keys`]: many.admit,
  });
  end();
  await store.close();

  const timeOf = (name: string) => at64.get(name) ?? at20.get(name) ?? alone.get(name) ?? Number.NaN;
  const speed = (of: string, to: string, goal?: number): Ratio => ({
    of: `speed of ${of}`,
    to,
    ratio: timeOf(to) / timeOf(of),
    ...(goal !== undefined && { goal: { atLeast: goal } }),
  });
  const flexibleHot = 'one limit of rate-limiter-flexible, hot key';
  const flexibleMany = `one limit of rate-limiter-flexible, ${manyKeys} keys, c=20`;
  return {
    figures,
    ratios: [
      speed('admit, hot key, c=20', `${flexibleHot}, c=20`, 7),
      speed('admit, hot key, c=64', `${flexibleHot}, c=20`, 15),
      speed(`admit, ${manyKeys} keys, c=20`, flexibleMany, 1.2),
      speed(`admit, ${manyKeys} keys, c=64`, flexibleMany, 2),
      speed('admit, hot key, c=1', `${flexibleHot}, c=1`, 1 / 1.6),
    ],
  };
}

function flexibleLimiter(knex: Knex): Promise<(key: string) => Promise<boolean>> {
  return new Promise((resolve, reject) => {
    const options = { storeClient: knex, storeType: 'knex', points: sixLimits.rpmLimit, duration: 60 };
    const limiter: RateLimiterPostgres = new RateLimiterPostgres(options, (error?: Error) => {
      if (error) reject(error);
      else resolve(async (key) => (await limiter.consume(key)).remainingPoints > 0);
    });
  });
}
