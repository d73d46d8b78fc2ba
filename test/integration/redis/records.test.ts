import assert from 'node:assert/strict';
import type { CombinableLedger } from '../../../lib/stores/combinable.ts';
import { createRecordConnection } from '../../../lib/stores/redis/records/record-connection.ts';
import { createRedisRecords } from '../../../lib/stores/redis/records/records.ts';
import {
  nextVersion,
  sampleAudit,
  sampleChange,
  sampleKey,
  samplePolicy,
} from '../../../lib/testing/store-suite/sample-records.ts';
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
    assert.equal((await store.readOutbox(10)).length, names.length);
    const rows = await store.claimOutbox(10, 60_000);
    assert.deepEqual(rows.map(({ keyId }) => keyId).sort(), [...names].sort());
    await store.clearOutbox(rows);
    assert.deepEqual(await store.outboxBacklog(), { due: 0, claimed: 0, later: 0 });
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

  it('sets no spend to zero of which the audit log cannot tell', async () => {
    const { store, client, prefix } = session;
    const key = sampleKey(1);
    await store.insertKey(key, sampleChange(), anyNumber);
    const scopeId = `key:${key.id}` as const;
    const scope = (await client.keys(`${prefix}*s:${scopeId}`))[0] ?? assert.fail('the scope is known');
    const audit = sampleAudit({ target: scopeId });
    const subject = { keyId: key.id, ownerId: null, teamId: null, model: null, endpoint: null };
    const budgets = [{ budgetId: 'main', periodStartMs: 0 }];
    const adjust = () => store.adjust({ id: 'reset', scopeId, budgets, subject, audit });
    const rows = async () => (await store.listAudit({ targets: [scopeId] }, { limit: 10 })).items.map(({ id }) => id);
    const before = await client.hgetall(scope);
    const auditKey = `${prefix}{records}:audit`;

    await client.rename(auditKey, `${auditKey}:kept`);
    await client.set(auditKey, 'a text');
    await assert.rejects(adjust(), { code: 'store_unavailable' });
    assert.deepEqual(await client.hgetall(scope), before);
    await client.rename(`${auditKey}:kept`, auditKey);

    // As after a crash between the two: the row is there, and whoever tries again adds none.
    await client.rename(scope, `${scope}:kept`);
    await client.set(scope, 'a text');
    await assert.rejects(adjust(), { code: 'store_unavailable' });
    assert.deepEqual((await rows()).slice(0, 1), [audit.id]);
    await client.rename(`${scope}:kept`, scope);
    assert.equal((await adjust()).state, 'adjusted');
    assert.equal((await rows()).filter((id) => id === audit.id).length, 1);
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
    assert.equal((await records.insertKey(key, sampleChange(), anyNumber)).outcome, 'inserted');
    await assert.rejects(records.deleteKey('a', 1, sampleChange()), pending);
    await assert.rejects(records.putPolicy('global', samplePolicy(1), sampleChange()), pending);
    assert.equal(await records.raisePending(), 0);
    isDown = false;
    assert.equal(await records.raisePending(), 3);
    assert.deepEqual(raised, ['global true false', 'key:a true false', 'key:a false true']);
    assert.equal(await records.raisePending(), 0);
  });

  it('reads and claims rows of the outbox that older versions wrote, and keeps what they leave', async () => {
    const { store, client, prefix } = session;
    const [order, rows] = [`${prefix}{records}:outbox`, `${prefix}{records}:outbox-rows`];
    // Their order was that of the numbers of rows.
    await client.zadd(order, 41, 'a', 42, 'b', 43, 'c');
    await client.hset(rows, { a: 'id-a 7000 7', b: 'id-b 8000 8', c: 'id-c 9000 9' });
    const old = ['a', 'b', 'c'].map((keyId, at) => ({
      id: `id-${keyId}`,
      keyId,
      revision: 7000 + at * 1000,
      atMs: 7 + at,
    }));
    assert.deepEqual(await store.readOutbox(10), old);
    assert.deepEqual(await store.outboxBacklog(), { due: 3, claimed: 0, later: 0 });
    await store.clearOutbox(old.slice(2));
    await store.enqueueOutbox(['b'], 60_000);
    const claimed = await store.claimOutbox(10, 60_000);
    assert.deepEqual(
      claimed.map(({ attempts, isTakenOver }) => [attempts, isTakenOver]),
      [
        [1, false],
        [1, false],
      ],
    );
    const [first] = claimed.filter(({ keyId }) => keyId === 'a');
    assert.deepEqual(first, { ...first, ...old[0] });
    assert.deepEqual((await store.readOutbox(10))[0], old[0]);
    await store.clearOutbox(claimed);
    assert.deepEqual(await client.keys(`${prefix}{records}:outbox*`), []);
  });

  it('claims what is due where rows of the outbox were edited into nonsense, which it drops', async () => {
    const { store, client, prefix } = session;
    const [order, rows] = [`${prefix}{records}:outbox`, `${prefix}{records}:outbox-rows`];
    await store.enqueueOutbox(['whole', 'moved'], 0);
    const held = await store.claimOutbox(1, 60_000, ['moved']);
    const nonsense = { a: '', b: 'nonsense', c: 'id x 5', d: 'id 5 5 nan', e: 'id 5', f: '{"id":1}', g: ' 1 2 3' };
    await client.hset(rows, nonsense);
    for (const keyId of [...Object.keys(nonsense), 'gone', '"', 'moved']) await client.zadd(order, 1, keyId);
    await client.hset(rows, '"', 'id 1 1');
    assert.deepEqual(
      (await store.readOutbox(20)).map(({ keyId }) => keyId),
      ['moved', 'whole'],
    );
    assert.deepEqual(
      (await store.claimOutbox(20, 60_000)).map(({ keyId }) => keyId),
      ['whole'],
    );
    await store.clearOutbox(held);
    await client.hset(rows, { later: 'id 1 1 99999999999999999999999999 0 lease -', 'of a name': 'x' });
    assert.deepEqual(await store.claimOutbox(20, 60_000, ['of a name']), []);
    await store.enqueueOutbox(['later', 'a'], 0);
    assert.deepEqual(
      (await store.claimOutbox(20, 60_000)).map(({ keyId }) => keyId),
      ['a', 'later'],
    );
  });

  it('writes a change over a row of the outbox that was edited into nonsense', async () => {
    const { store, client, prefix } = session;
    await client.hset(`${prefix}{records}:outbox-rows`, 'a', 'nonsense');
    await store.insertKey(sampleKey(1, { id: 'a' }), sampleChange({ outbox: true }), anyNumber);
    assert.equal((await store.claimOutbox(20, 60_000)).length, 1);
  });

  it('gives each row of the outbox to one of many processes, also as changes come in', async () => {
    const { url } = await redisServer();
    const others = [1, 2, 3].map(() => redisSession(url, { prefix: session.prefix }));
    const stores = [session, ...others].map(({ store }) => store);
    const keyIds = Array.from({ length: 300 }, (_, at) => `key-${at}`);
    await session.store.enqueueOutbox(keyIds, 0);
    const claims = await Promise.all(
      Array.from({ length: 80 }, async (_, at) => {
        if (at % 4 === 0) await session.store.enqueueOutbox(keyIds.slice(at, at + 40), 0);
        return stores[at % 4]?.claimOutbox(5, 60_000) ?? [];
      }),
    );
    assert.deepEqual(
      claims
        .flat()
        .map(({ keyId }) => keyId)
        .sort(),
      [...keyIds].sort(),
    );
    assert.deepEqual(await session.store.outboxBacklog(), { due: 0, claimed: 300, later: 0 });
    for (const other of others) await other.close();
  });

  it('reads a twin that was edited into nonsense as none, or as one in error, and puts it anew', async () => {
    const { store, client, prefix } = session;
    const twin = { keyId: 'a', state: 'synced', details: { alias: 'x' }, version: 1 } as const;
    const rows = `${prefix}{records}:twins`;
    for (const [text, found] of [
      ['nonsense', []],
      ['x synced {}', []],
      ['1 odd {"alias":"x"}', [{ ...twin, state: 'error' }]],
      ['1 synced {"alias":', [{ ...twin, details: {} }]],
      ['1 synced null', [{ ...twin, details: {} }]],
    ] as const) {
      await client.hset(rows, 'a', text);
      assert.deepEqual(await store.findTwins(['a']), found);
      const next = { ...twin, version: found.length + 1 };
      assert.deepEqual(await store.putTwin(next), { outcome: 'stored' });
      assert.deepEqual(await store.findTwins(['a']), [next]);
      assert.deepEqual(await store.countTwins(), { pending: 0, synced: 1, error: 0, orphaned: 0 });
    }
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
