import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, Redis } from 'ioredis';
import { Cluster as Cluster5 } from 'ioredis5';
import { openRedis } from '../../../lib/gateway/redis-half.ts';
import { failureReason } from '../../../lib/stores/failure-reason.ts';
import type { RedisClient } from '../../../lib/stores/redis/client.ts';
import { createRedisLedger } from '../../../lib/stores/redis/ledger.ts';
import { redisStore } from '../../../lib/stores/redis/redis-store.ts';
import type { StoreNotice } from '../../../lib/stores/store.ts';
import { storeCases } from '../../../lib/testing/index.ts';
import { createCaller, keyId, keyScope, keyWith } from '../../../lib/testing/store-suite/caller.ts';
import { nextVersion, sampleChange, sampleKey } from '../../../lib/testing/store-suite/sample-records.ts';
import { createTestClock } from '../../../lib/testing/store-suite/test-clock.ts';
import { eventually } from '../../support/eventually.ts';
import { newPrefix } from '../../support/services/random-name.ts';
import { type RedisCluster, redisCluster } from '../../support/services/redis-cluster.ts';
import { type TcpProxy, tcpProxy } from '../../support/tcp-proxy.ts';

const anyNumber = { maxActive: null };
const quiet = { warn: () => undefined, error: () => undefined };

function wayTo(proxy: TcpProxy | undefined) {
  return { host: '127.0.0.1', port: proxy?.port ?? 0 };
}

describe('redisStore: Cluster', () => {
  let cluster: RedisCluster;
  const clients: RedisClient[] = [];

  before(async function () {
    this.timeout(60_000);
    cluster = await redisCluster();
    clients.push(new Cluster([...cluster.nodes]), new Cluster5([...cluster.nodes]) as unknown as Cluster);
  });

  after(async () => {
    for (const client of clients) client.disconnect();
    await cluster.stop();
  });

  function client(at = 0): RedisClient {
    const found = clients[at];
    if (found === undefined) throw new Error('There is no such client');
    return found;
  }

  for (const { name, role, run } of storeCases) {
    it(`${role}: ${name}`, () => run(() => redisStore({ client: client(), prefix: newPrefix() })));
  }

  it('tells whoever passes a client of one node to pass a Cluster', async () => {
    const answers = await Promise.all(
      cluster.nodes.map(async ({ host, port }) => {
        const client = new Redis(port, host);
        const answer = await redisStore({ client, prefix: newPrefix() }).ping().catch(failureReason);
        client.disconnect();
        return answer;
      }),
    );
    const wrong = answers.filter((reason) => reason !== undefined);
    assert.equal(wrong.length, cluster.nodes.length - 1);
    for (const reason of wrong) assert.match(reason, /one node of a Cluster.* pass a Cluster of ioredis/);
  });

  it('keeps a gateway from starting on a node that has not the records', async () => {
    const answers = await Promise.all(
      cluster.nodes.map(({ host, port }) =>
        openRedis(`redis://${host}:${port}`, newPrefix()).then(
          ({ close }) => close(),
          ({ message }) => message,
        ),
      ),
    );
    const refused = answers.filter((message) => message !== undefined);
    assert.equal(refused.length, cluster.nodes.length - 1);
    for (const message of refused) assert.match(message, /^REDIS_URL: .*one node of a Cluster/);
  });

  it('keeps as many usage events of all shards together as it is told, the latest of each', async () => {
    const prefix = newPrefix();
    const maxUsageEvents = 10_000;
    const bounds = { maxUsageEvents, usageRetentionMs: 86_400_000 };
    const nothing = () => undefined;
    const own = { client: client(), prefix, givenMs: nothing, notify: nothing, onUnreadable: nothing };
    const ledger = createRedisLedger({ ...own, ...bounds });
    const stream = (shard: number) => `${prefix}{${String(shard).padStart(2, '0')}}:usage`;
    const write = async (shard: number, count: number) => {
      const pipeline = client().pipeline();
      for (let at = 0; at < count; at += 1) pipeline.xadd(stream(shard), '*', 'e', `{"holdId":"hold-${at}"}`);
      await pipeline.exec();
    };
    for (const shard of [0, 7, 63]) await write(shard, 3000);
    await ledger.boundUsage();
    assert.equal(await ledger.countUsage(1), 9000);
    await write(5, 9000);
    await ledger.boundUsage();
    const [kept, ofLargest] = [await ledger.countUsage(1), await client().xlen(stream(5))];
    // Whole blocks go: of four shards one each may stay.
    assert.ok(kept > maxUsageEvents - 4 && kept < maxUsageEvents + 4 * 100, `${kept} are kept`);
    assert.ok(ofLargest >= maxUsageEvents / 2 && ofLargest < maxUsageEvents / 2 + 100, `${ofLargest} of the largest`);
    const [latest] = await client().xrevrange(stream(5), '+', '-', 'COUNT', 1);
    assert.deepEqual(latest?.[1], ['e', '{"holdId":"hold-8999"}']);
  });

  it('takes no settlement for one of somebody else that the client sent twice, since the answer to the first was lost', async () => {
    const proxies = await Promise.all(cluster.nodes.map(({ port }) => tcpProxy(port)));
    const ways = cluster.nodes.map((node, at) => [`${node.host}:${node.port}`, wayTo(proxies[at])] as const);
    const proxied = new Cluster([wayTo(proxies[0])], { natMap: Object.fromEntries(ways) });
    proxied.on('error', () => undefined);
    try {
      const store = redisStore({ client: proxied, prefix: newPrefix() });
      const key = sampleKey(1, { id: keyId });
      const inserted = await store.insertKey(key, sampleChange(), anyNumber);
      const revision = inserted.outcome === 'inserted' ? inserted.record.revision : 0;
      const clock = createTestClock(await store.now());
      const caller = createCaller({ store, clock, notices: [] }, keyWith(key, { revision }));
      // The server has the script from now on.
      await caller.settle(await caller.hold());
      const hold = await caller.hold({ costUsd: 1 });
      for (const proxy of proxies) proxy.fail({ type: 'dropRepliesTo', request: hold.holdId });
      const settling = caller.settle(hold, { costUsd: 1 });
      await Promise.all([
        assert.rejects(settling, { code: 'store_unavailable', message: /answer was lost/ }),
        sleep(100).then(() => {
          for (const proxy of proxies) proxy.fail({ type: 'cut' });
          for (const proxy of proxies) proxy.heal();
        }),
      ]);
      assert.equal((await caller.settle(hold, { costUsd: 1 })).state, 'already');
      assert.equal((await store.balances([keyScope]))[0]?.budgets[0]?.spentNanoUsd, 1_000_000_000);
    } finally {
      proxied.disconnect();
      await Promise.all(proxies.map((proxy) => proxy.close()));
    }
  });

  it('loses no change and makes none twice while the slot of the records moves', async () => {
    const prefix = newPrefix();
    const store = redisStore({ client: client(), prefix });
    const keys = ['a', 'b', 'c', 'd'].map((id) => sampleKey(1, { id, ownerId: 'ann' }));
    for (const key of keys) await store.insertKey(key, sampleChange(), anyNumber);
    let isMoving = true;
    const writing = keys.map(async (first) => {
      let key = first;
      while (isMoving || key.version < 20) {
        key = nextVersion(key, { name: `Version ${key.version}` });
        assert.equal((await store.updateKey(key, sampleChange(), anyNumber)).outcome, 'updated');
      }
      return key.version;
    });
    const [one, two] = cluster.masters;
    if (one === undefined || two === undefined) throw new Error('The cluster has three masters');
    const slot = Number(await client().cluster('KEYSLOT', `${prefix}{records}:sequence`));
    for (const master of [one, two, one]) await cluster.migrateSlot(slot, master);
    isMoving = false;
    const versions = await Promise.all(writing);
    for (const [at, key] of keys.entries()) assert.equal((await store.findKey(key.id))?.version, versions[at]);
    const changes = versions.reduce((sum, version) => sum + version, 0);
    assert.equal((await store.listAudit({}, { limit: 1 })).total, changes);
    assert.equal((await store.listKeys({ ownerIds: ['ann'] }, { limit: 5 })).total, 4);
  });

  it('tells of changes in another process, whatever node that is connected to', async () => {
    const prefix = newPrefix();
    const notices: StoreNotice[] = [];
    const here = redisStore({ client: client(0), prefix });
    const there = redisStore({ client: client(1), prefix });
    const leave = there.open({ logger: quiet, onNotice: (notice) => notices.push(notice) });
    try {
      await eventually(() => notices.length > 0);
      await here.insertKey(sampleKey(1, { id: 'a' }), sampleChange(), anyNumber);
      await eventually(() => notices.some((notice) => notice.type === 'changed' && notice.scopeId === 'key:a'));
    } finally {
      leave();
    }
  });
});
