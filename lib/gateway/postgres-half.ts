import type { Knex } from 'knex';
import { migrate, postgresStore } from '../stores/postgres/index.ts';
import { loadDrivers, noAnswer } from './drivers.ts';
import { StartError } from './environment.ts';

const connectMs = 5000;
const ignore = () => undefined;

async function connect(url: string): Promise<Knex> {
  const { default: knex } = await loadDrivers(
    async () => {
      // knex loads it itself, and says less of what is missing.
      await import('pg');
      return import('knex');
    },
    'DATABASE_URL',
    'knex pg',
  );
  return knex({
    client: 'pg',
    connection: {
      connectionString: url,
      connectionTimeoutMillis: connectMs,
      keepAlive: true,
      application_name: 'express-llm-keys',
    },
    pool: { min: 0, max: 10 },
    acquireConnectionTimeout: connectMs,
    // It would print errors whole; the service tells of calls that fail.
    log: { warn: ignore, error: ignore, deprecate: ignore, debug: ignore },
  });
}

/** Opens a store in the Postgres at this URL. @throws StartError where its tables are not those of this version */
export async function openPostgres(url: string, schema?: string) {
  const knex = await connect(url);
  const store = postgresStore({ knex, schema });
  try {
    await store.ping();
  } catch (cause) {
    await knex.destroy();
    if (cause instanceof Error && cause.message.includes('migrate(')) {
      throw new StartError(
        'DATABASE_URL: the tables are missing, or older than this version needs: run npx express-llm-keys migrate',
        { cause },
      );
    }
    throw noAnswer('DATABASE_URL', 'Postgres', cause);
  }
  return { store, close: () => knex.destroy() };
}

/** Brings the tables in the Postgres at this URL to this version; answers the names of what was applied. */
export async function migratePostgres(url: string, schema?: string): Promise<readonly string[]> {
  const knex = await connect(url);
  try {
    return (await migrate(knex, { schema })).applied;
  } catch (cause) {
    throw noAnswer('DATABASE_URL', 'Postgres', cause);
  } finally {
    await knex.destroy();
  }
}
