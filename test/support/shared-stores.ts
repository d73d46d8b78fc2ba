import { Redis } from 'ioredis';
import { combineStores } from '../../lib/stores/combined/combine-stores.ts';
import { postgresStore } from '../../lib/stores/postgres/postgres-store.ts';
import { redisStore } from '../../lib/stores/redis/redis-store.ts';
import type { Store } from '../../lib/stores/store.ts';
import { createPostgresSchema, type PostgresSchema } from './services/postgres-schema.ts';
import { newPrefix } from './services/random-name.ts';
import { redisServer } from './services/redis-server.ts';

/** A store that processes share, with its records in Postgres. */
export interface SharedStore {
  readonly tables: PostgresSchema;
  /** What the keys of Redis begin with, where there is one. */
  readonly prefix?: string;
  /** The store as one more process has it. */
  connect(): Store;
  /** Leaves every store that was connected, and removes all. */
  close(): Promise<void>;
}

async function onPostgres(): Promise<SharedStore> {
  const tables = await createPostgresSchema();
  const stores: Store[] = [];
  return {
    tables,
    connect() {
      const store = postgresStore({ knex: tables.knex, schema: tables.schema });
      stores.push(store);
      return store;
    },
    async close() {
      for (const store of stores) await store.close();
      await tables.drop();
    },
  };
}

async function onBoth(): Promise<SharedStore> {
  const tables = await createPostgresSchema();
  const client = new Redis((await redisServer()).url);
  const prefix = newPrefix();
  const stores: Store[] = [];
  return {
    tables,
    prefix,
    connect() {
      const records = postgresStore({ knex: tables.knex, schema: tables.schema });
      const store = combineStores({ records, ledger: redisStore({ client, prefix }) });
      stores.push(store);
      return store;
    },
    async close() {
      for (const store of stores) await store.close();
      client.disconnect();
      await tables.drop();
    },
  };
}

export const sharedStores: readonly (readonly [name: string, open: () => Promise<SharedStore>])[] = [
  ['Postgres', onPostgres],
  ['Postgres and Redis', onBoth],
];
