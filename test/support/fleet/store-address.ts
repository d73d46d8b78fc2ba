import { Cluster, Redis } from 'ioredis';
import knexFactory from 'knex';
import { combineStores, type Store } from '../../../lib/index.ts';
import { migrate, postgresStore } from '../../../lib/stores/postgres/index.ts';
import { redisStore } from '../../../lib/stores/redis/index.ts';

/** Where a store is, as it is told to another process. */
export type StoreAddress =
  | RedisAddress
  | PostgresAddress
  | {
      readonly kind: 'cluster';
      readonly nodes: readonly { readonly host: string; readonly port: number }[];
      readonly prefix: string;
    }
  | { readonly kind: 'combined'; readonly records: PostgresAddress; readonly ledger: RedisAddress };

export interface RedisAddress {
  readonly kind: 'redis';
  readonly url: string;
  readonly prefix: string;
}

export interface PostgresAddress {
  readonly kind: 'postgres';
  readonly url: string;
  readonly schema: string;
}

export interface ConnectedStore {
  readonly store: Store;
  /** Has every line of usage: the store itself, or the half of it that keeps the archive. */
  readonly archive: Store;
  disconnect(): Promise<void>;
}

/** A machine that is busy with four processes is slow, and not away. */
const patienceMs = 10_000;
const redisOptions = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: patienceMs };

/** Connects as an application does when it starts: with the tables made by whoever comes first. */
export async function connectStore(address: StoreAddress): Promise<ConnectedStore> {
  switch (address.kind) {
    case 'redis':
      return connectRedis(address);
    case 'cluster': {
      const client = new Cluster([...address.nodes], { enableOfflineQueue: false, redisOptions });
      return connected(client, address.prefix);
    }
    case 'postgres':
      return connectPostgres(address);
    case 'combined': {
      const [records, ledger] = await Promise.all([connectPostgres(address.records), connectRedis(address.ledger)]);
      return {
        store: combineStores({ records: records.store, ledger: ledger.store }),
        archive: records.store,
        async disconnect() {
          await Promise.all([records.disconnect(), ledger.disconnect()]);
        },
      };
    }
  }
}

function connectRedis({ url, prefix }: RedisAddress) {
  return connected(new Redis(url, redisOptions), prefix);
}

async function connected(client: Redis | Cluster, prefix: string) {
  client.on('error', () => undefined);
  if (client.status !== 'ready') await new Promise((resolve) => client.once('ready', resolve));
  const store = redisStore({ client, prefix });
  return {
    store,
    archive: store,
    async disconnect() {
      await store.close();
      client.disconnect();
    },
  };
}

async function connectPostgres({ url, schema }: PostgresAddress) {
  const ignore = () => undefined;
  const knex = knexFactory({
    client: 'pg',
    connection: url,
    pool: { min: 0, max: 10 },
    acquireConnectionTimeout: patienceMs,
    // What it would log it also throws.
    log: { warn: ignore, error: ignore, deprecate: ignore, debug: ignore },
  });
  await migrate(knex, { schema });
  const store = postgresStore({ knex, schema });
  return {
    store,
    archive: store,
    async disconnect() {
      await store.close();
      await knex.destroy();
    },
  };
}
