import knexFactory, { type Knex } from 'knex';
import { RateLimiterPostgres } from 'rate-limiter-flexible';
import { migrate } from '../lib/stores/postgres/migrate.ts';
import { postgresStore } from '../lib/stores/postgres/postgres-store.ts';
import { ownPostgresServer, type PostgresServer } from '../test/support/services/postgres-server.ts';
import { tcpProxy } from '../test/support/tcp-proxy.ts';
import { type Act, admissions, inParallel, knownAdmissions } from './admissions.ts';
import { type AdmittingProcess, startAdmitting } from './processes.ts';
import { type Contender, race, type Times } from './race.ts';
import type { Bench, Figure, Ratio, Report } from './report.ts';
import { sixLimits } from './sample-keys.ts';

const manyKeys = 1000;

/** The store alone on a server of its own, which writes each commit to the disk. */
export const postgresBench: Bench = {
  name: 'postgres',
  title: 'admit with 6 limits on the Postgres store, fsync on',
  async run() {
    const server = await ownPostgresServer({ fsync: true });
    const knex = connect(server.url);
    try {
      return await measure(knex, server);
    } finally {
      await knex.destroy();
      await server.stop();
    }
  },
};

function connect(url: string): Knex {
  return knexFactory({ client: 'pg', connection: url, pool: { min: 0, max: 20 } });
}

const flexibleHot = 'one limit of rate-limiter-flexible, hot key';

async function measure(knex: Knex, server: PostgresServer): Promise<Report> {
  await migrate(knex);
  const store = postgresStore({ knex, notifications: 'poll' });
  const end = store.open({ logger: console, onNotice: () => undefined });
  const hot = await admissions(store, 1);
  const many = await admissions(store, manyKeys);
  const flexible = await flexibleLimiter(knex);
  const one = () => flexible('hot');
  const spread = (index: number) => flexible(`key ${index % manyKeys}`);

  const alone = await timeAt(1, 300, {
    'admit, hot key': hot.admit,
    [flexibleHot]: one,
  });
  const at20 = await timeAt(20, 2000, {
    'admit, hot key': hot.admit,
    'admit + settle, hot key': hot.pair,
    [`admit, ${manyKeys} keys`]: many.admit,
    [flexibleHot]: one,
    [`one limit of rate-limiter-flexible, ${manyKeys} keys`]: spread,
  });
  const at64 = await timeAt(64, 4000, {
    'admit, hot key': hot.admit,
    'admit + settle, hot key': hot.pair,
    [`admit, ${manyKeys} keys`]: many.admit,
  });
  const shared = await timeProcesses(server.url, hot.keyIds);
  const away = await timeAway(server.port, hot.keyIds);
  const eventBytes = await bytesPerEvent(knex);
  end();
  await store.close();

  const times = new Map([...alone, ...at20, ...at64, ...shared, ...away]);
  const timeOf = (name: string) => times.get(name) ?? Number.NaN;
  const speed = (of: string, to: string, goal?: number): Ratio => ({
    of: `speed of ${of}`,
    to,
    ratio: timeOf(to) / timeOf(of),
    ...(goal !== undefined && { goal: { atLeast: goal } }),
  });
  const flexibleMany = `one limit of rate-limiter-flexible, ${manyKeys} keys, c=20`;
  return {
    figures: [
      ...[...times].map(([name, value]): Figure => ({ name, value, unit: 'ns' })),
      { name: 'one usage event, with its indexes', value: eventBytes, unit: 'bytes' },
    ],
    ratios: [
      speed('admit, hot key, c=20', `${flexibleHot}, c=20`, 7),
      speed('admit, hot key, c=64', `${flexibleHot}, c=20`, 15),
      speed(`admit, ${manyKeys} keys, c=20`, flexibleMany, 1.2),
      speed(`admit, ${manyKeys} keys, c=64`, flexibleMany, 2),
      speed('admit, hot key, c=1', `${flexibleHot}, c=1`, 1 / 1.6),
      speed('admit, hot key, 4 processes, c=20 each', `${flexibleHot}, c=20`, 9),
      speed('admit, hot key, 4 processes, c=20 each', 'admit, hot key, 1 process, c=20 each'),
      speed('admit, hot key, 1 ms away, c=20', `${flexibleHot}, 1 ms away, c=20`),
      speed('admit, hot key, 1 ms away, c=1', `${flexibleHot}, 1 ms away, c=1`),
    ],
  };
}

async function timeAt(callers: number, operations: number, contenders: Readonly<Record<string, Act>>): Promise<Times> {
  const listed = Object.entries(contenders).map(([name, act]): Contender => {
    return { name: `${name}, c=${callers}`, run: (times) => inParallel(callers, times, act) };
  });
  return race(listed, { operations, rounds: 5 });
}

/** One hot key that one process serves, and four. */
async function timeProcesses(url: string, [keyId = '']: readonly string[]): Promise<Times> {
  const processes = await Promise.all(Array.from({ length: 4 }, () => startAdmitting(url, keyId)));
  const contender = (name: string, sharing: readonly AdmittingProcess[]): Contender => ({
    name: `admit, hot key, ${name}, c=20 each`,
    async run(operations) {
      const asked = { callers: 20, operations: operations / sharing.length };
      const admitted = await Promise.all(sharing.map((each) => each.admit(asked)));
      return admitted.reduce((sum, each) => sum + each, 0);
    },
  });
  try {
    const contenders = [contender('1 process', processes.slice(0, 1)), contender('4 processes', processes)];
    return await race(contenders, { operations: 4000, rounds: 5 });
  } finally {
    for (const each of processes) each.stop();
  }
}

/** What a network costs that takes a millisecond each way. */
async function timeAway(port: number, keyIds: readonly string[]): Promise<Times> {
  const proxy = await tcpProxy(port);
  proxy.fail({ type: 'slow', delayMs: 1 });
  const knex = connect(`postgres://postgres@127.0.0.1:${proxy.port}/postgres`);
  try {
    const { admit } = knownAdmissions(postgresStore({ knex, notifications: 'poll' }), keyIds);
    const flexible = await flexibleLimiter(knex);
    const contenders = { 'admit, hot key, 1 ms away': admit, [`${flexibleHot}, 1 ms away`]: () => flexible('hot') };
    return new Map([...(await timeAt(1, 60, contenders)), ...(await timeAt(20, 600, contenders))]);
  } finally {
    await knex.destroy();
    await proxy.close();
  }
}

/** On the disk, after the pairs of this bench. The sums of the hours are few, and do not grow with each. */
async function bytesPerEvent(knex: Knex): Promise<number> {
  const { rows } = await knex.raw<{ rows: { bytes: number }[] }>(
    `select pg_total_relation_size('llm_keys.usage_events')::float / count(*) as bytes from llm_keys.usage_events`,
  );
  return rows[0]?.bytes ?? Number.NaN;
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
