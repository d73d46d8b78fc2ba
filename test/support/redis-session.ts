import { Redis } from 'ioredis';
import { redisStore } from '../../lib/stores/redis/redis-store.ts';
import type { Store, StoreNotice } from '../../lib/stores/store.ts';
import { newPrefix } from './services/random-name.ts';

export interface RedisSession {
  readonly client: Redis;
  readonly prefix: string;
  readonly store: Store;
  readonly notices: StoreNotice[];
  readonly warnings: string[];
  close(): Promise<void>;
}

export interface RedisSessionOptions {
  readonly prefix?: string;
  readonly maxRetriesPerRequest?: number | null;
}

/** A store that is open, on a client as the README advises. */
export function redisSession(url: string, options: RedisSessionOptions = {}): RedisSession {
  const { prefix = `${newPrefix()}:`, maxRetriesPerRequest = 1 } = options;
  const client = new Redis(url, { maxRetriesPerRequest });
  client.on('error', () => undefined);
  const store = redisStore({ client, prefix });
  const notices: StoreNotice[] = [];
  const warnings: string[] = [];
  const leave = store.open({
    logger: { warn: (text) => warnings.push(text), error: (text) => warnings.push(text) },
    onNotice: (notice) => notices.push(notice),
  });
  return {
    client,
    prefix,
    store,
    notices,
    warnings,
    async close() {
      leave();
      await store.close();
      client.disconnect();
    },
  };
}
