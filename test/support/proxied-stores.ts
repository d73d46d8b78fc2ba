import { Redis } from 'ioredis';
import knexFactory from 'knex';
import { combineStores } from '../../lib/stores/combined/combine-stores.ts';
import { postgresStore } from '../../lib/stores/postgres/postgres-store.ts';
import { redisStore } from '../../lib/stores/redis/redis-store.ts';
import type { Store } from '../../lib/stores/store.ts';
import { createPostgresSchema } from './services/postgres-schema.ts';
import { postgresServer } from './services/postgres-server.ts';
import { newPrefix } from './services/random-name.ts';
import { redisServer } from './services/redis-server.ts';
import { type TcpProxy, tcpProxy } from './tcp-proxy.ts';

/** A store whose way to its ledger can be broken. */
export interface ProxiedStore {
  readonly store: Store;
  readonly proxy: TcpProxy;
  close(): Promise<void>;
}

export async function proxiedRedis() {
  const target = new URL((await redisServer()).url);
  const proxy = await tcpProxy(Number(target.port));
  const client = new Redis({
    host: '127.0.0.1',
    port: proxy.port,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    commandTimeout: 2000,
    retryStrategy: () => 50,
  });
  client.on('error', () => undefined);
  await new Promise((resolve) => client.once('ready', resolve));
  return {
    store: redisStore({ client, prefix: newPrefix() }),
    proxy,
    async close() {
      client.disconnect();
      await proxy.close();
    },
  } satisfies ProxiedStore;
}

export async function proxiedPostgres() {
  const target = new URL((await postgresServer()).url);
  const proxy = await tcpProxy(Number(target.port));
  const tables = await createPostgresSchema();
  target.port = String(proxy.port);
  const ignore = () => undefined;
  const knex = knexFactory({
    client: 'pg',
    connection: { connectionString: target.href, connectionTimeoutMillis: 1000 },
    pool: { min: 0, max: 10 },
    acquireConnectionTimeout: 1000,
    log: { warn: ignore, error: ignore, deprecate: ignore, debug: ignore },
  });
  return {
    store: postgresStore({ knex, schema: tables.schema }),
    proxy,
    async close() {
      proxy.heal();
      await knex.destroy();
      await proxy.close();
      await tables.drop();
    },
  } satisfies ProxiedStore;
}

/** Records in Postgres; the way to the Redis with the counters can be broken. */
export async function proxiedCombination(): Promise<ProxiedStore> {
  const [records, ledger] = await Promise.all([proxiedPostgres(), proxiedRedis()]);
  return {
    store: combineStores({ records: records.store, ledger: ledger.store }),
    proxy: ledger.proxy,
    async close() {
      await ledger.close();
      await records.close();
    },
  };
}
