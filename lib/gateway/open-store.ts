import { combineStores, memoryStore, type Store } from '../index.ts';
import type { GatewaySettings } from './environment.ts';
import { openPostgres } from './postgres-half.ts';
import { openRedis } from './redis-half.ts';

export interface OpenStore {
  readonly store: Store;
  /** Ends the store, and the connections that were made for it. */
  close(): Promise<void>;
}

/**
 * Opens the store that the settings name: memory, Redis, Postgres, or records in Postgres and counters in Redis.
 *
 * @throws StartError where a driver is missing, or a service does not answer
 */
export async function openStore({
  redisUrl,
  databaseUrl,
  redisPrefix,
  databaseSchema,
}: Pick<GatewaySettings, 'redisUrl' | 'databaseUrl' | 'redisPrefix' | 'databaseSchema'>): Promise<OpenStore> {
  const postgres = databaseUrl === null ? undefined : await openPostgres(databaseUrl, databaseSchema);
  const redis =
    redisUrl === null
      ? undefined
      : await openRedis(redisUrl, redisPrefix).catch(async (error: unknown) => {
          await postgres?.close();
          throw error;
        });
  const store =
    postgres !== undefined && redis !== undefined
      ? combineStores({ records: postgres.store, ledger: redis.store })
      : (postgres?.store ?? redis?.store ?? memoryStore());
  return {
    store,
    async close() {
      await store.close();
      await Promise.all([postgres?.close(), redis?.close()]);
    },
  };
}
