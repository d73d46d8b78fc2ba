import assert from 'node:assert/strict';
import { Cluster, Redis } from 'ioredis';
import { redisCluster } from '../support/services/redis-cluster.ts';
import { withRedis } from '../support/services/redis-server.ts';
import { redisWithReplica } from '../support/services/redis-with-replica.ts';

describe('redisCluster', function () {
  this.timeout(60_000);

  it('serves every slot, also one that is moved to another master under its clients', async () => {
    const cluster = await redisCluster();
    const client = new Cluster([...cluster.nodes]);
    const names = Array.from({ length: 20 }, (_, at) => `{moved}${at}`);
    for (const name of names) await client.set(name, name);
    const slot = Number(await client.cluster('KEYSLOT', '{moved}'));
    const readAll = () => Promise.all(names.map((name) => client.get(name)));
    for (const master of cluster.masters) {
      await cluster.migrateSlot(slot, master, async () => assert.deepEqual(await readAll(), names));
      assert.deepEqual(await readAll(), names);
      assert.equal(await withRedis(master.port, (redis) => redis.get('{moved}0')), '{moved}0');
    }
    client.disconnect();
    await cluster.stop();
  });

  it('gives each master a replica, when asked for', async () => {
    const cluster = await redisCluster({ replicas: true });
    const roles = await Promise.all(
      cluster.replicas.map(({ port }) => withRedis(port, async (redis) => (await redis.role())[0])),
    );
    assert.deepEqual(roles, ['slave', 'slave', 'slave']);
    await cluster.stop();
  });
});

describe('redisWithReplica', () => {
  it('answers from the replica under the same address after a failover', async () => {
    const service = await redisWithReplica();
    const client = new Redis(service.url);
    client.on('error', () => undefined);
    await client.set('key', 'kept');
    await client.wait(1, 5000);
    await service.failOver();
    assert.equal(await client.get('key'), 'kept');
    assert.equal(await client.set('key', 'new'), 'OK');
    client.disconnect();
    await service.stop();
  });
});
