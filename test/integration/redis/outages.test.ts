import assert from 'node:assert/strict';
import { Redis } from 'ioredis';
import { createVirtualKeys } from '../../../lib/index.ts';
import { redisStore } from '../../../lib/stores/redis/redis-store.ts';
import { answers, eventually } from '../../support/eventually.ts';
import { testLog } from '../../support/service.ts';
import { newPrefix } from '../../support/services/random-name.ts';
import { ownRedisServer, type RedisServer } from '../../support/services/redis-server.ts';
import { type ReplicatedRedis, redisWithReplica } from '../../support/services/redis-with-replica.ts';
import { type TcpProxy, tcpProxy } from '../../support/tcp-proxy.ts';

const unavailable = { code: 'store_unavailable' };

function serviceAt(url: string) {
  const client = new Redis(url, { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 300 });
  client.on('error', () => undefined);
  const store = redisStore({ client, prefix: newPrefix() });
  const keys = createVirtualKeys({ store, cacheMs: 0, storeTimeoutMs: 200, logger: testLog() });
  return {
    client,
    keys,
    async close() {
      await keys.close();
      await store.close();
      client.disconnect();
    },
  };
}

describe('redisStore: outages', () => {
  describe('on a connection that fails', () => {
    let server: RedisServer;
    let proxy: TcpProxy;

    before(async () => {
      server = await ownRedisServer({ appendOnly: true });
      proxy = await tcpProxy(server.port);
    });

    after(async () => {
      await proxy.close();
      await server.stop();
    });

    for (const type of ['stall', 'halfOpen', 'cut'] as const) {
      it(`refuses by the deadline and soon without asking, and goes on afterwards, when it is ${type}`, async () => {
        const { client, keys, close } = serviceAt(`redis://127.0.0.1:${proxy.port}`);
        try {
          await eventually(() => client.status === 'ready');
          const { key, secret } = await keys.create({ name: 'a', models: ['*'] });
          assert.equal((await keys.verify(secret)).valid, true);
          proxy.fail({ type });
          for (let calls = 0; calls < 6; calls += 1) {
            const startMs = performance.now();
            await assert.rejects(keys.verify(secret), unavailable);
            const tookMs = performance.now() - startMs;
            assert.ok(tookMs < 1000, `the caller waited ${tookMs} ms`);
          }
          assert.equal((await keys.health()).store.state, 'down');
          proxy.heal();
          await eventually(() => answers(() => keys.verify(secret)));
          assert.equal((await keys.get(key.id)).status, 'active');
          assert.equal((await keys.revoke(key.id)).status, 'revoked');
          assert.deepEqual(await keys.verify(secret), { valid: false, reason: 'revoked' });
        } finally {
          proxy.heal();
          await close();
        }
      });
    }

    it('knows every key again after the server was killed and started anew', async () => {
      const { client, keys, close } = serviceAt(server.url);
      try {
        await eventually(() => client.status === 'ready');
        const { secret } = await keys.create({ name: 'a', models: ['*'] });
        await server.kill();
        await assert.rejects(keys.verify(secret), unavailable);
        await server.restart();
        await eventually(() => answers(() => keys.verify(secret)));
        assert.equal((await keys.verify(secret)).valid, true);
      } finally {
        await close();
      }
    });
  });

  describe('with a replica', () => {
    let redis: ReplicatedRedis;

    before(async () => {
      redis = await redisWithReplica();
    });

    after(() => redis.stop());

    it('goes on with the replica, which has every change it had heard of', async () => {
      const { client, keys, close } = serviceAt(redis.url);
      try {
        await eventually(() => client.status === 'ready');
        const { key, secret } = await keys.create({ name: 'a', models: ['*'] });
        await keys.revoke(key.id);
        await eventually(() => answers(async () => assert.equal(await client.wait(1, 200), 1)));
        await redis.failOver();
        // A key that is remembered is verified without the client, which may take longer to come back.
        let next = '';
        const createAnother = async () => {
          next = (await keys.create({ name: 'b', models: ['*'] })).secret;
        };
        await eventually(() => answers(createAnother));
        assert.deepEqual(await keys.verify(secret), { valid: false, reason: 'revoked' });
        assert.equal((await keys.verify(next)).valid, true);
      } finally {
        await close();
      }
    });
  });
});
