import knexFactory, { type Knex } from 'knex';
import pg from 'pg';
import { migrate } from '../../lib/stores/postgres/migrate.ts';
import { postgresStore } from '../../lib/stores/postgres/postgres-store.ts';
import type { Store } from '../../lib/stores/store.ts';
import { ownPostgresServer, type PostgresServer } from '../../test/support/services/postgres-server.ts';
import type { Report } from '../report.ts';

export interface PostgresOfBench {
  readonly server: PostgresServer;
  readonly knex: Knex;
  /** For those who do not take an instance of knex. */
  readonly pool: pg.Pool;
  readonly store: Store;
}

/** Measures on a server of its own, over the loopback, that writes each commit to the disk. */
export async function onPostgres(measure: (postgres: PostgresOfBench) => Promise<Report>): Promise<Report> {
  const server = await ownPostgresServer({ fsync: true });
  const knex = connect(server.url, 20);
  const pool = new pg.Pool({ connectionString: server.url, max: 20 });
  await migrate(knex);
  const store = openPostgres(knex);
  try {
    return await measure({ server, knex, pool, store });
  } finally {
    await store.close();
    await pool.end();
    await knex.destroy();
    await server.stop();
  }
}

export function connect(url: string, connections: number): Knex {
  return knexFactory({ client: 'pg', connection: url, pool: { min: 0, max: connections } });
}

export function openPostgres(knex: Knex): Store {
  const store = postgresStore({ knex });
  store.open({ logger: console, onNotice: () => undefined });
  return store;
}
