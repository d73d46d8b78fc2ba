import assert from 'node:assert/strict';
import { Redis } from 'ioredis';
import { Redis as Redis5 } from 'ioredis5';
import { redisStore } from '../../../lib/stores/redis/redis-store.ts';
import type { StoreNotice } from '../../../lib/stores/store.ts';
import { anyNumber, sampleChange, sampleKey } from '../../../lib/testing/store-suite/sample-records.ts';
import { eventually } from '../../support/eventually.ts';
import { testLog } from '../../support/service.ts';
import { newPrefix } from '../../support/services/random-name.ts';
import { redisServer } from '../../support/services/redis-server.ts';

describe('redisStore: clients', () => {
  it('works on one that connects with its first command, and hears of changes before that', async () => {
    const client = new Redis((await redisServer()).url, { lazyConnect: true });
    const store = redisStore({ client, prefix: `${newPrefix()}:` });
    assert.equal(client.status, 'wait');
    const notices: StoreNotice[] = [];
    const leave = store.open({ logger: testLog(), onNotice: (notice) => notices.push(notice) });
    try {
      await eventually(() => notices.length > 0);
      const key = sampleKey(1);
      assert.equal((await store.insertKey(key, sampleChange(), anyNumber)).outcome, 'inserted');
      await eventually(() => notices.length > 1);
      assert.equal((await store.findKey(key.id))?.id, key.id);
    } finally {
      leave();
      await store.close();
      client.disconnect();
    }
  });

  it('connects one that would, and refuses calls until then, where it keeps none waiting', async () => {
    const { url } = await redisServer();
    const client = new Redis(url, { lazyConnect: true, enableOfflineQueue: false, maxRetriesPerRequest: 1 });
    const store = redisStore({ client, prefix: newPrefix() });
    try {
      await assert.rejects(store.ping(), { code: 'store_unavailable' });
      await eventually(() => client.status === 'ready');
      await store.ping();
    } finally {
      client.disconnect();
    }
  });

  it('refuses one that has subscribed to something, where nothing else can be sent on it', async () => {
    const { url } = await redisServer();
    // Over RESP3, which ioredis 6 speaks unless told otherwise, a subscriber can send anything.
    const clients = [new Redis(url, { protocol: 2 }), new Redis5(url) as unknown as Redis];
    for (const client of clients) {
      await client.ping();
      await client.subscribe(newPrefix());
      assert.throws(() => redisStore({ client }), {
        name: 'TypeError',
        message: /subscriber mode; pass one that sends/,
      });
      client.disconnect();
    }
  });
});
