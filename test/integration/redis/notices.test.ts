import assert from 'node:assert/strict';
import { sampleChange, sampleKey } from '../../../lib/testing/store-suite/sample-records.ts';
import { eventually } from '../../support/eventually.ts';
import { redisSession } from '../../support/redis-session.ts';
import { ownRedisServer, type RedisServer, redisServer } from '../../support/services/redis-server.ts';

const anyNumber = { maxActive: null };

describe('redisStore: notices', () => {
  it('tells other processes of a change, by its scope and revision', async () => {
    const { url } = await redisServer();
    const here = redisSession(url);
    const there = redisSession(url, { prefix: here.prefix });
    try {
      await eventually(() => there.notices.length > 0);
      const key = sampleKey(1, { id: 'ä "\0' });
      const inserted = await here.store.insertKey(key, sampleChange(), anyNumber);
      const revision = inserted.outcome === 'inserted' ? inserted.record.revision : 0;
      await eventually(() => there.notices.length > 1);
      assert.deepEqual(there.notices, [{ type: 'missed' }, { type: 'changed', scopeId: `key:${key.id}`, revision }]);
    } finally {
      await Promise.all([here.close(), there.close()]);
    }
  });

  it('ignores what is no notice on its channel', async () => {
    const session = redisSession((await redisServer()).url);
    const { client, prefix, notices } = session;
    try {
      await eventually(() => notices.length > 0);
      for (const text of ['', 'x', ' ', '1.5 a', '1 "', '7 key:a']) await client.publish(`${prefix}changes`, text);
      await eventually(() => notices.length > 1);
      assert.deepEqual(notices.slice(1), [{ type: 'changed', scopeId: 'key:a', revision: 7 }]);
    } finally {
      await session.close();
    }
  });

  describe('with a server of its own', () => {
    let server: RedisServer;

    beforeEach(async () => {
      server = await ownRedisServer({ appendOnly: true, args: ['--maxmemory-policy', 'allkeys-lru'] });
    });

    afterEach(() => server.stop());

    it('tells that changes may have been missed when it hears again, and keeps what was stored', async () => {
      const session = redisSession(server.url, { maxRetriesPerRequest: null });
      const { store, notices } = session;
      try {
        await eventually(() => notices.length === 1);
        const key = sampleKey(1);
        await store.insertKey(key, sampleChange(), anyNumber);
        await eventually(() => notices.length === 2);
        await server.kill();
        await server.restart();
        await eventually(() => notices.length === 3);
        assert.deepEqual(notices[2], { type: 'missed' });
        assert.equal((await store.findKey(key.id))?.id, key.id);
        await store.insertKey(sampleKey(2), sampleChange(), anyNumber);
        await eventually(() => notices.length === 4);
      } finally {
        await session.close();
      }
    });

    it('warns when Redis may evict what has no end, and not otherwise', async () => {
      const session = redisSession(server.url);
      try {
        await eventually(() => session.warnings.length > 0);
        assert.match(session.warnings[0] ?? '', /maxmemory-policy allkeys-lru/);
        await session.client.config('SET', 'maxmemory-policy', 'volatile-lru');
        const other = redisSession(server.url);
        await eventually(() => other.notices.length > 0);
        await other.close();
        assert.deepEqual(other.warnings, []);
      } finally {
        await session.close();
      }
    });

    it('ends its connection when the last one leaves, and not the client', async () => {
      const session = redisSession(server.url);
      const { client, store, notices } = session;
      await eventually(() => notices.length > 0);
      await store.close();
      await eventually(
        async () =>
          String(await client.client('LIST'))
            .trim()
            .split('\n').length === 1,
      );
      assert.equal(await client.ping(), 'PONG');
      await session.close();
    });
  });
});
