import { Redis } from 'ioredis';
import { redisStore } from '../../lib/stores/redis/redis-store.ts';
import { combinableCases } from '../../lib/testing/index.ts';
import { newPrefix } from '../support/services/random-name.ts';
import { redisServer } from '../support/services/redis-server.ts';

describe('redisStore as the ledger of a combined store', () => {
  let client: Redis;

  before(async () => {
    client = new Redis((await redisServer()).url);
  });

  after(() => client.disconnect());

  for (const { name, role, run } of combinableCases) {
    if (role === 'ledger') it(name, () => run(() => redisStore({ client, prefix: newPrefix() })));
  }
});
