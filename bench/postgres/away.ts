import { admissions, knownAdmissions } from '../admissions.ts';
import { timesAway } from '../away.ts';
import { type Bench, duration, figuresOf, type Report, speed } from '../report.ts';
import { flexibleLimiter, oneLimit } from './peers.ts';
import { connect, onPostgres, openPostgres, type PostgresOfBench } from './server.ts';

/** What a network costs that takes a millisecond each way. */
export const postgresAwayBench: Bench = {
  name: 'postgres-away',
  title: 'admissions of one key on a Postgres that is a millisecond away, fsync on',
  run: () => onPostgres(measure),
};

async function measure({ server, store }: PostgresOfBench): Promise<Report> {
  const { keyIds } = await admissions(store, 1);
  const times = await timesAway(server.port, (port) => open(port, keyIds), { callers: 20, operations: [120, 1000] });
  const away = (name: string, callers: number) => `${name}, 1 ms away, c=${callers}`;
  return {
    figures: figuresOf(times),
    ratios: [
      duration(times, away('admit(6)', 1), away(oneLimit, 1)),
      speed(times, away('admit(6)', 20), away(oneLimit, 20)),
    ],
  };
}

async function open(port: number, keyIds: readonly string[]) {
  const knex = connect(`postgres://postgres@127.0.0.1:${port}/postgres`, 20);
  const store = openPostgres(knex);
  const { admit, pair } = knownAdmissions(store, keyIds);
  return {
    acts: {
      'select 1': async () => (await knex.raw<{ rows: unknown[] }>('select 1')).rows.length === 1,
      'admit(6)': admit,
      'admit(6) + settle': pair,
      [oneLimit]: await flexibleLimiter(knex, keyIds),
    },
    async close() {
      await store.close();
      await knex.destroy();
    },
  };
}
