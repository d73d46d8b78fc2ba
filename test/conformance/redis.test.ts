import { Redis } from 'ioredis';
import { Redis as Redis5 } from 'ioredis5';
import type { RedisClient } from '../../lib/stores/redis/client.ts';
import { redisStore } from '../../lib/stores/redis/redis-store.ts';
import { storeCases } from '../../lib/testing/index.ts';
import { newPrefix } from '../support/services/random-name.ts';
import { redisServer } from '../support/services/redis-server.ts';

type Connect = (url: string) => RedisClient;

const clients: readonly (readonly [version: string, connect: Connect])[] = [
  ['6', (url) => new Redis(url)],
  // Whoever has ioredis 5 compiles against its types; here both are installed.
  ['5', (url) => new Redis5(url) as unknown as RedisClient],
];

for (const [version, connect] of clients) {
  describe(`redisStore with ioredis ${version}`, () => {
    let client: RedisClient;

    before(async () => {
      client = connect((await redisServer()).url);
    });

    after(() => client.disconnect());

    for (const { name, role, run } of storeCases) {
      it(`${role}: ${name}`, () => run(() => redisStore({ client, prefix: newPrefix() })));
    }
  });
}
