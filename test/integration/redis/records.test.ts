import assert from 'node:assert/strict';
import type { CombinableLedger } from '../../../lib/stores/combinable.ts';
import { createRecordConnection } from '../../../lib/stores/redis/records/record-connection.ts';
import { createRedisRecords } from '../../../lib/stores/redis/records/records.ts';
import { nextVersion, sampleChange, sampleKey, samplePolicy } from '../../../lib/testing/store-suite/sample-records.ts';
import { type RedisSession, redisSession } from '../../support/redis-session.ts';
import { newPrefix } from '../../support/services/random-name.ts';
import { redisServer } from '../../support/services/redis-server.ts';

const anyNumber = { maxActive: null };

describe('redisStore: records', () => {
  let session: RedisSession;

  beforeEach(async () => {
    session = redisSession((await redisServer()).url);
  });

  afterEach(() => session.close());

  it('stores names of any kind as they are', async () => {
    const { store } = session;
    const names = [
      'o\'brien "x" \\ %_*[a]',
      'NUL \0 and {braces}',
      '👩‍👩‍👧 ñ\ud800',
      'long '.repeat(2000),
      '__proto__',
      '+',
    ];
    for (const name of names) {
      const fields = { id: name, alias: name, ownerId: name, teamId: name, tags: [name], models: [name], name };
      const key = sampleKey(Date.now(), {
        ...fields,
        secretHash: name,
        metadata: { empty: {}, list: [], big: 1e15 + 1 },
      });
      await store.insertKey(key, sampleChange({ outbox: true, audit: { target: `key:${name}` } }), { maxActive: 1 });
      const found = await store.findKey(name);
      assert.deepEqual(found, { ...key, revision: found?.revision });
      assert.deepEqual(await store.findKeyByHash([name]), found);
      for (const filter of [{ ownerIds: [name] }, { teamIds: [name] }, { tag: name }, { models: [name], tag: name }]) {
        assert.deepEqual((await store.listKeys(filter, { limit: 5 })).items, [found]);
      }
      const second = sampleKey(Date.now(), { ownerId: name });
      assert.deepEqual(await store.insertKey(second, sampleChange(), { maxActive: 1 }), { outcome: 'owner_limit' });
      assert.equal((await store.listAudit({ targets: [`key:${name}`] }, { limit: 5 })).total, 1);
    }
    const rows = await store.readOutbox(10);
    assert.deepEqual(
      rows.map(({ keyId }) => keyId),
      names,
    );
    await store.clearOutbox(rows);
    for (const name of names) assert.equal((await store.deleteKey(name, 1, sampleChange())).outcome, 'updated');
    assert.deepEqual(await store.countKeys({}), { active: 0, disabled: 0, expired: 0, revoked: 0, total: 0 });
  });

  it('leaves nothing of a deleted key but its history and a closed scope that expires', async () => {
    const { store, client, prefix } = session;
    const key = sampleKey(Date.now(), { ownerId: 'ann', teamId: 'red', tags: ['a'], previousSecret: null });
    await store.insertKey(key, sampleChange(), anyNumber);
    await store.updateKey(nextVersion(key, { ownerId: 'bob', tags: [], alias: 'b' }), sampleChange(), anyNumber);
    await store.deleteKey(key.id, 2, sampleChange());
    const left = (await client.keys(`${prefix}{records}:*`)).map((name) => name.slice(`${prefix}{records}:`.length));
    assert.deepEqual(left.sort(), ['audit', 'audit-rows', 'sequence']);
  });

  it('treats a key that was edited into nonsense as absent, tells of it, and serves the others', async () => {
    const { store, client, prefix, notices } = session;
    const keys = ['a', 'b', 'c', 'd', 'e'].map((id) => sampleKey(1, { id }));
    for (const key of keys) await store.insertKey(key, sampleChange(), anyNumber);
    const name = (id: string) => `${prefix}{records}:key:${id}`;
    await client.hset(name('a'), 'json', '{"id":');
    await client.hset(name('b'), 'json', '{"models":"*"}');
    await client.hset(name('c'), 'version', 'x');
    await client.set(name('d'), 'a text');
    for (const id of ['a', 'b', 'c', 'd']) {
      notices.length = 0;
      assert.equal(await store.findKey(id), undefined);
      assert.deepEqual(
        notices.filter(({ type }) => type === 'corrupt'),
        [{ type: 'corrupt', scopeId: `key:${id}` }],
      );
      const update = nextVersion(sampleKey(1, { id }), {});
      assert.deepEqual(await store.updateKey(update, sampleChange(), anyNumber), { outcome: 'not_found' });
    }
    const { items } = await store.listKeys({}, { limit: 10 });
    assert.deepEqual(
      items.map(({ id }) => id),
      ['e'],
    );
  });

  it('lets a policy that was edited into nonsense deny until it is put anew', async () => {
    const { store, client, prefix, notices } = session;
    await store.putPolicy('team:red', samplePolicy(1), sampleChange());
    await client.hset(`${prefix}{records}:policy:team:red`, 'json', 'nonsense');
    const found = await store.findPolicy('team:red');
    assert.deepEqual([found?.models, found?.rpmLimit, found?.version], [[], 0, 1]);
    assert.ok(notices.some(({ type }) => type === 'corrupt'));
    const put = await store.putPolicy('team:red', samplePolicy(1, { version: 2, models: null }), sampleChange());
    assert.equal(put.outcome, 'updated');
    assert.equal((await store.findPolicy('team:red'))?.models, null);
  });

  it('changes nothing where a key of the records has another type', async () => {
    const { store, client, prefix } = session;
    await client.set(`${prefix}{records}:audit-rows`, 'a text');
    const key = sampleKey(1);
    await assert.rejects(store.insertKey(key, sampleChange(), anyNumber), { code: 'store_unavailable' });
    assert.equal(await store.findKey(key.id), undefined);
    assert.equal((await store.listKeys({}, { limit: 5 })).total, 0);
    assert.deepEqual(await client.keys(`${prefix}*`), [`${prefix}{records}:audit-rows`]);
  });

  it('goes on when the server has forgotten the scripts', async () => {
    const { store, client } = session;
    const key = sampleKey(1);
    await store.insertKey(key, sampleChange(), anyNumber);
    await client.script('FLUSH');
    assert.equal((await store.updateKey(nextVersion(key, {}), sampleChange(), anyNumber)).outcome, 'updated');
  });

  it('lists thousands of keys by page, filter and count', async () => {
    const { store } = session;
    const keys = Array.from({ length: 2400 }, (_, at) =>
      sampleKey(at % 100, { id: `k${at}`, teamId: at % 2 ? 'red' : 'blue', name: `Number ${at}`, models: ['m'] }),
    );
    for (let at = 0; at < keys.length; at += 500) {
      await Promise.all(keys.slice(at, at + 500).map((key) => store.insertKey(key, sampleChange(), anyNumber)));
    }
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await store.listKeys({ teamIds: ['red'], search: 'number' }, { limit: 500, cursor });
      assert.equal(page.total, 1200);
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    assert.equal(new Set(seen).size, 1200);
    assert.equal((await store.countKeys({ models: ['m'], teamIds: ['blue'] })).active, 1200);
    assert.equal((await store.listKeys({ teamIds: ['red', 'blue'] }, { limit: 1 })).total, 2400);
  });

  it('keeps a change whose fence could not be raised, says so, and raises it later, in order', async () => {
    const { client } = session;
    const raised: string[] = [];
    let isDown = true;
    const raiseFence: CombinableLedger['fence'] = async ({ scopeId, isNew, isClosed }) => {
      if (isDown) throw new Error('down');
      raised.push(`${scopeId} ${isNew} ${isClosed}`);
      return { state: 'fenced' };
    };
    const connection = createRecordConnection({
      client,
      prefix: newPrefix(),
      nowMs: () => 1000,
      notify: () => undefined,
    });
    const records = createRedisRecords({ connection, raiseFence, maxAuditRows: 10, maxAlerts: 10 });
    const key = sampleKey(1, { id: 'a' });
    const pending = { name: 'FencePendingError', code: 'fence_pending' };
    await assert.rejects(records.insertKey(key, sampleChange(), anyNumber), pending);
    await assert.rejects(records.deleteKey('a', 1, sampleChange()), pending);
    await assert.rejects(records.putPolicy('global', samplePolicy(1), sampleChange()), pending);
    assert.equal(await records.raisePending(), 0);
    isDown = false;
    assert.equal(await records.raisePending(), 3);
    assert.deepEqual(raised, ['global true false', 'key:a true false', 'key:a false true']);
    assert.equal(await records.raisePending(), 0);
  });

  it('keeps the latest audit rows and alerts alone', async () => {
    const { client, prefix } = session;
    const connection = createRecordConnection({ client, prefix, nowMs: () => 1000, notify: () => undefined });
    const raiseFence: CombinableLedger['fence'] = async () => ({ state: 'fenced' });
    const records = createRedisRecords({ connection, raiseFence, maxAuditRows: 3, maxAlerts: 2 });
    for (let at = 0; at < 5; at += 1) {
      await records.insertKey(sampleKey(1), sampleChange({ audit: { id: `${at}` } }), anyNumber);
      await records.insertAlert({
        id: `${at}`,
        type: 'hold.lost',
        scopeId: 'global',
        ownerId: null,
        teamId: null,
        keyId: 'a',
        model: null,
        budget: null,
      });
    }
    const audit = await records.listAudit({}, { limit: 10 });
    assert.deepEqual(
      audit.items.map(({ id }) => id),
      ['4', '3', '2'],
    );
    const alerts = await records.listAlerts({}, { limit: 10 });
    assert.deepEqual(
      alerts.items.map(({ id }) => id),
      ['4', '3'],
    );
    assert.equal(await client.hlen(`${prefix}{records}:alert-ids`), 2);
  });
});
