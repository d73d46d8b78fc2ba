import knexFactory from 'knex';
import { postgresServer } from '../services/postgres-server.ts';
import { newPrefix, newSchema } from '../services/random-name.ts';
import { redisCluster } from '../services/redis-cluster.ts';
import { redisServer } from '../services/redis-server.ts';
import type { PostgresAddress, RedisAddress, StoreAddress } from './store-address.ts';

/** Servers on which there is room for any number of stores. */
export interface StorePlace {
  /** Where there is no store yet. */
  newAddress(): StoreAddress;
  /** Removes what tests have left. */
  clear(): Promise<void>;
}

export async function redisPlace() {
  const { url } = await redisServer();
  return {
    newAddress: (): RedisAddress => ({ kind: 'redis', url, prefix: `${newPrefix()}:` }),
    clear: async () => undefined,
  } satisfies StorePlace;
}

export async function clusterPlace() {
  const cluster = await redisCluster();
  return {
    newAddress: (): StoreAddress => ({ kind: 'cluster', nodes: cluster.nodes, prefix: `${newPrefix()}:` }),
    clear: () => cluster.stop(),
  } satisfies StorePlace;
}

export async function postgresPlace() {
  const { url } = await postgresServer();
  const schemas: string[] = [];
  return {
    newAddress(): PostgresAddress {
      const schema = newSchema();
      schemas.push(schema);
      return { kind: 'postgres', url, schema };
    },
    async clear() {
      const knex = knexFactory({ client: 'pg', connection: url });
      for (const schema of schemas) await knex.raw('drop schema if exists ?? cascade', [schema]);
      await knex.destroy();
    },
  } satisfies StorePlace;
}

/** Records in Postgres, counters in Redis. */
export async function combinedPlace() {
  const [records, ledger] = await Promise.all([postgresPlace(), redisPlace()]);
  return {
    newAddress: (): StoreAddress => ({
      kind: 'combined',
      records: records.newAddress(),
      ledger: ledger.newAddress(),
    }),
    clear: () => records.clear(),
  } satisfies StorePlace;
}
