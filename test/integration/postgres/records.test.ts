import assert from 'node:assert/strict';
import { createVirtualKeys } from '../../../lib/index.ts';
import { postgresStore } from '../../../lib/stores/postgres/postgres-store.ts';
import type { Store, StoreNotice, TwinRow } from '../../../lib/stores/store.ts';
import { concurrently } from '../../../lib/testing/store-suite/concurrent.ts';
import {
  anyNumber,
  nextVersion,
  sampleAudit,
  sampleChange,
  sampleKey,
  samplePolicy,
} from '../../../lib/testing/store-suite/sample-records.ts';
import { eventually } from '../../support/eventually.ts';
import { createPostgresSchema, type PostgresSchema } from '../../support/services/postgres-schema.ts';

describe('the records of postgresStore', () => {
  let tables: PostgresSchema;
  let store: Store;
  let close: () => void;
  let notices: StoreNotice[];

  before(async () => {
    tables = await createPostgresSchema();
  });

  beforeEach(async () => {
    await tables.empty();
    notices = [];
    store = openStore(notices);
  });

  afterEach(() => close());

  after(() => tables.drop());

  function openStore(into: StoreNotice[]): Store {
    const { knex, schema } = tables;
    const opened = postgresStore({ knex, schema, notifications: 'poll', pollMs: 60_000 });
    close = opened.open({ logger: console, onNotice: (notice) => into.push(notice) });
    return opened;
  }

  it('treat a key that was edited into nonsense as absent, tell of it, and find the others', async () => {
    const nonsense = [
      "settings = '[]'",
      "settings = 'null'",
      'settings = settings || \'{"rpmLimit": -5}\'',
      "settings = settings - 'permissions'",
      "metadata = '7'",
      'tags = array[null]::text[]',
      'version = -1',
      'settings = settings || \'{"allowedIps": ["nowhere"]}\'',
    ];
    for (const [index] of nonsense.entries()) {
      await store.insertKey(sampleKey(index, { id: `key-${index}` }), sampleChange(), anyNumber);
    }
    await store.insertKey(sampleKey(99, { id: 'whole' }), sampleChange(), anyNumber);
    for (const [index, edit] of nonsense.entries())
      await tables.run(`update keys set ${edit} where id = 'key-${index}'`);
    notices.length = 0;
    for (const [index] of nonsense.entries()) {
      assert.equal(await store.findKey(`key-${index}`), undefined, nonsense[index]);
      assert.equal(await store.findKeyByHash([`sha256:key-${index}`]), undefined);
      const corrupt = { type: 'corrupt', scopeId: `key:key-${index}` };
      assert.deepEqual(notices.splice(0), [corrupt, corrupt]);
    }
    assert.deepEqual(
      (await store.listKeys({}, { limit: 100 })).items.map(({ id }) => id),
      ['whole'],
    );
    assert.equal(notices.length, nonsense.length);
  });

  it('deny what a policy rules that was edited into nonsense, which a new one mends', async () => {
    const policy = samplePolicy(Date.now(), { rpmLimit: 5 });
    await store.putPolicy('team:red', policy, sampleChange());
    await tables.run(`update policies set settings = '{"rpmLimit":"many"}'`);
    const found = await store.findPolicy('team:red');
    assert.deepEqual([found?.models, found?.rpmLimit, found?.version], [[], 0, 1]);
    assert.deepEqual(notices.at(-1), { type: 'corrupt', scopeId: 'team:red' });
    const put = await store.putPolicy('team:red', nextVersion(policy, {}), sampleChange());
    assert.equal(put.outcome, 'updated');
    assert.equal((await store.findPolicy('team:red'))?.rpmLimit, 5);
  });

  it('refuse the call of a key that was edited into nonsense, and admit the others', async () => {
    const keys = createVirtualKeys({ store, cacheMs: 0, logger: { warn() {}, error() {} } });
    const made = await Promise.all(['a', 'b'].map((name) => keys.create({ name, models: ['gpt-4o'] })));
    const [broken, whole] = made;
    const corrupt: unknown[] = [];
    keys.on('record.corrupt', (event) => corrupt.push(event));
    await tables.run(`update keys set settings = '{"rpmLimit":null}' where id = '${broken?.key.id}'`);
    assert.deepEqual(await keys.verify(broken?.secret ?? ''), { valid: false, reason: 'unknown' });
    assert.equal((await keys.verify(whole?.secret ?? '')).valid, true);
    assert.ok(corrupt.length > 0);
    await keys.close();
  });

  it('find nothing by a NUL or half a surrogate pair, and list nothing after such a cursor', async () => {
    const cursor = (position: unknown) => Buffer.from(JSON.stringify(position)).toString('base64url');
    for (const text of ['a\0b', '\ud800']) {
      assert.equal(await store.findKey(text), undefined);
      assert.equal(await store.findKeyByHash([text]), undefined);
      assert.equal(await store.findPolicy(`user:${text}`), undefined);
      assert.deepEqual(await store.deleteKey(text, 1, sampleChange()), { outcome: 'not_found' });
      await store.touchKey(text, 5);
      for (const filter of [{ ownerIds: [text] }, { tag: text }, { search: text }, { models: [text] }]) {
        assert.equal((await store.listKeys(filter, { limit: 5 })).total, 0);
      }
      assert.deepEqual((await store.listKeys({}, { limit: 5, cursor: cursor([5, text]) })).items, []);
    }
    for (const position of [[1.5, 'a'], [1e300, 'a'], ['1', 'a'], 7]) {
      assert.deepEqual((await store.listAudit({}, { limit: 5, cursor: cursor(position) })).items, []);
    }
  });

  it('keep texts of any kind to the letter, a NUL in metadata and history too', async () => {
    const odd = `'"\\; drop table keys; -- \u{1F511} %_ ${'x'.repeat(200)}`;
    const metadata = { '\0': 'a\0b', half: '\ud800', ['__proto__']: { big: 1e21, small: 5e-324 } };
    const record = sampleKey(5, {
      id: odd,
      name: odd,
      alias: odd,
      ownerId: odd,
      teamId: odd,
      models: [odd, 'a', odd],
      tags: [odd, ''],
      metadata: JSON.parse(JSON.stringify(metadata)),
    });
    const audit = sampleAudit({ target: `key:${odd}`, after: metadata, reason: 'a\0b', actor: { id: 'a\0b' } });
    const inserted = await store.insertKey(record, { ...sampleChange(), audit }, anyNumber);
    if (inserted.outcome !== 'inserted') assert.fail(inserted.outcome);
    assert.deepEqual(await store.findKey(odd), inserted.record);
    assert.deepEqual((await store.listKeys({ tag: odd, search: odd, models: [odd] }, { limit: 5 })).total, 1);
    const { items } = await store.listAudit({ targets: [`key:${odd}`] }, { limit: 5 });
    assert.deepEqual(
      items.map(({ atMs, ...entry }) => entry),
      [{ ...audit, after: JSON.parse(JSON.stringify(metadata)) }],
    );
  });

  it('search % and _ and \\ as themselves, and letters in any case of any language', async () => {
    for (const name of ['100%', '1000', 'a_b', 'aXb', 'back\\slash', 'ÉCLAIR']) {
      await store.insertKey(sampleKey(5, { name, alias: name }), sampleChange(), anyNumber);
    }
    const found = async (search: string) =>
      (await store.listKeys({ search }, { limit: 9 })).items.map(({ name }) => name);
    assert.deepEqual(await found('0%'), ['100%']);
    assert.deepEqual(await found('A_B'), ['a_b']);
    assert.deepEqual(await found('k\\s'), ['back\\slash']);
    assert.deepEqual(await found('éclair'), ['ÉCLAIR']);
  });

  it('let one of many processes take the last place of an owner, or an alias', async () => {
    const stores = [1, 2, 3, 4].map(() => postgresStore({ knex: tables.knex, schema: tables.schema }));
    const outcomes = await concurrently(20, (number) => {
      const record = sampleKey(5, { ownerId: 'ann' });
      return (stores[number % 4] ?? store).insertKey(record, sampleChange(), { maxActive: 5 });
    });
    assert.equal(outcomes.filter(({ outcome }) => outcome === 'inserted').length, 5);
    const aliases = await concurrently(8, (number) =>
      (stores[number % 4] ?? store).insertKey(sampleKey(5, { alias: 'one' }), sampleChange(), anyNumber),
    );
    assert.deepEqual(aliases.map(({ outcome }) => outcome).sort(), [...Array(7).fill('alias_taken'), 'inserted']);
  });

  it('give each row of the outbox to one of many processes, also as changes come in', async () => {
    const { knex, schema } = tables;
    const stores = [1, 2, 3, 4].map(() => postgresStore({ knex, schema }));
    const keyIds = Array.from({ length: 300 }, (_, at) => `key-${at}`);
    await store.enqueueOutbox(keyIds, 0);
    const claims = await concurrently(80, async (number) => {
      if (number % 4 === 0) await store.enqueueOutbox(keyIds.slice(number, number + 40).reverse(), 0);
      return (stores[number % 4] ?? store).claimOutbox(5, 60_000);
    });
    // What another process has under its hands is skipped.
    const skipped = await store.claimOutbox(300, 60_000);
    assert.deepEqual([...claims.flat(), ...skipped].map(({ keyId }) => keyId).sort(), [...keyIds].sort());
    assert.deepEqual(await store.outboxBacklog(), { due: 0, claimed: 300, later: 0 });
  });

  it('end the lease of a row of the outbox that is cleared while it is written anew', async () => {
    const key = sampleKey(5, { id: 'a' });
    await store.insertKey(key, sampleChange({ outbox: true }), anyNumber);
    const claimed = await store.claimOutbox(10, 60_000);
    let clearing: Promise<void> | undefined;
    await tables.knex.transaction(async (transaction) => {
      await transaction.raw("update ?? set id = 'anew', due_at_ms = 6", [`${tables.schema}.outbox`]);
      clearing = store.clearOutbox(claimed);
      await eventually(async () => {
        const waiting = "select from pg_stat_activity where wait_event_type = 'Lock' and query like '%' || ? || '%'";
        return (await tables.run(waiting, [`${tables.schema}".outbox`])).length === 1;
      }, 'The wait for the row');
    });
    await clearing;
    const again = await store.claimOutbox(10, 60_000);
    assert.deepEqual(
      again.map(({ id, isTakenOver }) => ({ id, isTakenOver })),
      [{ id: 'anew', isTakenOver: false }],
    );
  });

  it('claim what is due beside rows of the outbox that were edited into nonsense', async () => {
    await store.enqueueOutbox(['a', 'b', 'c', 'whole'], 0);
    await tables.run(`update outbox set due_at_ms = null where key_id = 'a'`);
    await tables.run(`update outbox set id = '', lease_id = '', revision = -5, due_at_ms = -7 where key_id = 'b'`);
    await tables.run(`update outbox set lease_ends_at_ms = ${2n ** 63n - 1n} where key_id = 'c'`);
    assert.deepEqual(
      (await store.claimOutbox(10, 60_000)).map(({ keyId }) => keyId),
      ['b', 'whole'],
    );
    assert.equal((await store.outboxBacklog()).due, 0);
    await store.enqueueOutbox(['a'], 0);
    assert.equal((await store.claimOutbox(10, 60_000))[0]?.keyId, 'a');
  });

  it('keep details of twins to the letter, and read those that were edited into nonsense as none', async () => {
    const details = { b: 1, a: { '\0': 'a\0b', half: '\ud800', ['__proto__']: [1e21, 5e-324] }, '': null };
    const twin: TwinRow = { keyId: 'a', state: 'synced', details: JSON.parse(JSON.stringify(details)), version: 1 };
    await store.putTwin(twin);
    const found = await store.findTwins(['a', 'a', 'a\0b', '\ud800']);
    assert.deepEqual(found, [twin]);
    assert.equal(JSON.stringify(found[0]?.details), JSON.stringify(twin.details));
    assert.deepEqual(await store.removeTwin('a\0b', 1), { outcome: 'version_conflict' });
    for (const nonsense of ['7', 'null', '"text"']) {
      await tables.run(`update twins set details = ?::json`, [nonsense]);
      assert.deepEqual(await store.findTwins(['a']), [{ ...twin, details: {} }]);
    }
    await assert.rejects(tables.run(`update twins set state = 'odd'`), { code: '23514' });
  });

  it('end without a deadlock when two keys trade their aliases at once', async () => {
    const [a, b] = ['a', 'b'].map((alias) => sampleKey(5, { id: alias, alias }));
    if (a === undefined || b === undefined) assert.fail();
    for (const key of [a, b]) await store.insertKey(key, sampleChange(), anyNumber);
    const outcomes = await Promise.all([
      store.updateKey(nextVersion(a, { alias: 'b' }), sampleChange(), anyNumber),
      store.updateKey(nextVersion(b, { alias: 'a' }), sampleChange(), anyNumber),
    ]);
    assert.deepEqual(
      outcomes.map(({ outcome }) => outcome),
      ['alias_taken', 'alias_taken'],
    );
  });

  it('are told in views with the status and all models of each key', async () => {
    const dayAgoMs = Date.now() - 86_400_000;
    await store.insertKey(sampleKey(dayAgoMs, { id: 'a', models: ['z', 'a'] }), sampleChange(), anyNumber);
    await store.insertKey(sampleKey(dayAgoMs, { id: 'b', models: [], expiresAtMs: 5 }), sampleChange(), anyNumber);
    await store.insertKey(sampleKey(dayAgoMs, { id: 'c', disabledAtMs: 5 }), sampleChange(), anyNumber);
    await store.insertKey(sampleKey(dayAgoMs, { id: 'd', disabledAtMs: 5, revokedAtMs: 5 }), sampleChange(), anyNumber);
    assert.deepEqual(
      (await tables.run('select id, status, models, created_at from api_keys_with_models order by id')).map((row) => ({
        ...(row as object),
      })),
      [
        { id: 'a', status: 'active', models: ['z', 'a'], created_at: new Date(dayAgoMs) },
        { id: 'b', status: 'expired', models: [], created_at: new Date(dayAgoMs) },
        { id: 'c', status: 'disabled', models: ['gpt-4o'], created_at: new Date(dayAgoMs) },
        { id: 'd', status: 'revoked', models: ['gpt-4o'], created_at: new Date(dayAgoMs) },
      ],
    );
    assert.deepEqual(await tables.run(`select model from key_models where key_id = 'a' order by position`), [
      { model: 'z' },
      { model: 'a' },
    ]);
  });

  it('read whole numbers that the application has other parsers for', async () => {
    const { default: pg } = await import('pg');
    const bigint = pg.types.getTypeParser(20);
    pg.types.setTypeParser(20, (text) => BigInt(text));
    try {
      const inserted = await store.insertKey(sampleKey(5, { id: 'a' }), sampleChange({ outbox: true }), anyNumber);
      assert.deepEqual(await store.findKey('a'), inserted.outcome === 'inserted' ? inserted.record : null);
      assert.equal(typeof (await store.readOutbox(1))[0]?.revision, 'number');
      assert.equal((await store.listKeys({}, { limit: 5 })).total, 1);
    } finally {
      pg.types.setTypeParser(20, bigint);
    }
  });
});
