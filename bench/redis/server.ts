import { Redis } from 'ioredis';
import { redisStore } from '../../lib/stores/redis/redis-store.ts';
import type { Store } from '../../lib/stores/store.ts';
import { ownRedisServer, type RedisServer } from '../../test/support/services/redis-server.ts';
import type { Report } from '../report.ts';

export interface RedisOfBench {
  readonly server: RedisServer;
  readonly client: Redis;
  readonly store: Store;
}

/** Measures on a server of its own, over the loopback, that writes nothing to the disk. */
export async function onRedis(measure: (redis: RedisOfBench) => Promise<Report>): Promise<Report> {
  const server = await ownRedisServer();
  const client = new Redis(server.url);
  const store = openRedis(client);
  try {
    return await measure({ server, client, store });
  } finally {
    await store.close();
    client.disconnect();
    await server.stop();
  }
}

export const prefix = 'bench:';

/** The same counters for every client of one server. */
export function openRedis(client: Redis): Store {
  const store = redisStore({ client, prefix });
  store.open({ logger: console, onNotice: () => undefined });
  return store;
}
