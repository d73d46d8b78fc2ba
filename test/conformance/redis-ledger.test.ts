import { Redis } from 'ioredis';
import { memoryStore } from '../../lib/stores/memory/memory-store.ts';
import { createRedisLedger } from '../../lib/stores/redis/ledger.ts';
import type { Store, StoreEnvironment } from '../../lib/stores/store.ts';
import { storeCases } from '../../lib/testing/index.ts';
import { newPrefix } from '../support/services/random-name.ts';
import { redisServer } from '../support/services/redis-server.ts';

/** The ledger alone; records are kept in memory and nobody asks for them. */
function ledgerStore(client: Redis): Store {
  const environments = new Set<StoreEnvironment>();
  const ledger = createRedisLedger({
    client,
    prefix: `${newPrefix()}:`,
    givenMs: () => [...environments][0]?.clock?.(),
    notify: (notice) => {
      for (const { onNotice } of environments) onNotice(notice);
    },
    maxUsageEvents: 10_000,
    usageRetentionMs: 7 * 86_400_000,
  });
  return {
    ...memoryStore(),
    ...ledger,
    open(environment) {
      environments.add(environment);
      return () => environments.delete(environment);
    },
  };
}

describe('createRedisLedger', () => {
  let client: Redis;
  before(async () => {
    client = new Redis((await redisServer()).url);
  });
  after(() => client.disconnect());

  for (const { name, role, run } of storeCases) {
    if (role === 'ledger') it(name, () => run(() => ledgerStore(client)));
  }
});
