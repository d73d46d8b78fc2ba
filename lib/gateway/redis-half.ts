import { once } from 'node:events';
import { redisStore } from '../stores/redis/index.ts';
import { loadDrivers, noAnswer } from './drivers.ts';

/** Opens a store in the Redis at this URL, with a client that fails soon where Redis does not answer. */
export async function openRedis(url: string, prefix?: string) {
  const { Redis } = await loadDrivers(() => import('ioredis'), 'REDIS_URL', 'ioredis');
  const client = new Redis(url, {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    commandTimeout: 2000,
    connectTimeout: 5000,
    retryStrategy: (attempt) => Math.min(attempt * 50, 250),
  });
  const store = redisStore({ client, prefix });
  try {
    // Rejects at the first error.
    await once(client, 'ready');
    await store.ping();
  } catch (cause) {
    client.disconnect();
    throw noAnswer('REDIS_URL', 'Redis', cause);
  }
  // The service tells of calls that fail. Without a listener the driver would print each error, with the address in it.
  client.on('error', () => undefined);
  return { store, close: async () => client.disconnect() };
}
