import assert from 'node:assert/strict';
import { Cluster, Redis } from 'ioredis';
import { Redis as Redis5 } from 'ioredis5';
import type { RedisClient } from '../../../../lib/stores/redis/client.ts';
import { redisStore } from '../../../../lib/stores/redis/redis-store.ts';

const opened: { disconnect(): void }[] = [];

function redis(options: object = {}): Redis {
  const client = new Redis({ ...options, lazyConnect: true });
  opened.push(client);
  return client;
}

function cluster(options: object): Cluster {
  const client = new Cluster([{ host: '127.0.0.1', port: 1 }], { ...options, lazyConnect: true });
  opened.push(client);
  return client;
}

describe('redisStore', () => {
  after(() => {
    for (const client of opened) client.disconnect();
  });

  it('takes clients of ioredis 6, of ioredis 5 and of a Cluster, and does not connect them', () => {
    const five = new Redis5({ lazyConnect: true });
    opened.push(five);
    for (const client of [redis(), five as unknown as RedisClient, cluster({})]) {
      assert.equal(redisStore({ client }).name, 'redis');
      assert.equal(client.status, 'wait');
    }
  });

  const wrong: readonly (readonly [what: string, client: () => unknown, message: RegExp])[] = [
    ['nothing', () => undefined, /client must be a Redis or Cluster of ioredis 5 or 6$/],
    ['a URL', () => 'redis://localhost', /client must be a Redis or Cluster of ioredis 5 or 6$/],
    ['options of a client', () => ({ host: 'localhost' }), /this has no evalsha, eval, /],
    [
      'a client of the package "redis"',
      () => ({ sendCommand() {}, hGetAll() {} }),
      /ioredis 5 or 6; this is one of the package "redis"$/,
    ],
    ['a client with a keyPrefix', () => redis({ keyPrefix: 'app:' }), /keyPrefix.*give redisStore the prefix$/],
    ['a Cluster with a keyPrefix', () => cluster({ keyPrefix: 'app:' }), /keyPrefix/],
    ['nodes with a keyPrefix', () => cluster({ redisOptions: { keyPrefix: 'app:' } }), /keyPrefix/],
    ['a read-only client', () => redis({ readOnly: true }), /readOnly/],
    [
      'a client of a replica that Sentinels name',
      () => redis({ sentinels: [{ host: '127.0.0.1', port: 1 }], name: 'main', role: 'slave' }),
      /leave its role 'master'$/,
    ],
    ['a Cluster that reads from replicas', () => cluster({ scaleReads: 'slave' }), /set scaleReads to 'master'$/],
    ['replies of RESP3', () => redis({ replyMapping: 'resp3' }), /replyMapping 'legacy'/],
    ['numbers as text', () => redis({ stringNumbers: true }), /leave stringNumbers out$/],
    ['nodes with numbers as text', () => cluster({ redisOptions: { stringNumbers: true } }), /stringNumbers/],
    ['a client that monitors', () => redis({ monitor: true }), /monitor mode/],
  ];
  for (const [what, client, message] of wrong) {
    it(`refuses ${what}`, () => {
      assert.throws(() => redisStore({ client: client() as RedisClient }), { name: 'TypeError', message });
    });
  }

  it('refuses a prefix that is empty, not printable, or decides slots, too small a bound, and options that do not exist', () => {
    const client = redis();
    for (const prefix of ['', '{a}', 'a}', 'a\nb', '\ud800', 5 as unknown as string]) {
      assert.throws(() => redisStore({ client, prefix }), { name: 'TypeError', message: /prefix must be printable/ });
    }
    for (const maxUsageEvents of [0, 999, 1000.5, Number.NaN]) {
      assert.throws(() => redisStore({ client, maxUsageEvents }), {
        name: 'TypeError',
        message: 'redisStore: maxUsageEvents must be a whole number from 1000',
      });
    }
    const options = { client, prefx: 'a' } as unknown as { client: Redis };
    assert.throws(() => redisStore(options), {
      message: 'redisStore: there is no option "prefx"; did you mean "prefix"?',
    });
    assert.throws(() => redisStore(undefined as never), {
      name: 'TypeError',
      message: 'redisStore: options must be an object',
    });
  });
});
