import assert from 'node:assert/strict';
import { type PostgresStoreOptions, postgresStore } from '../../../lib/stores/postgres/postgres-store.ts';
import type { Store, StoreNotice } from '../../../lib/stores/store.ts';
import { anyNumber, sampleChange, sampleKey, samplePolicy } from '../../../lib/testing/store-suite/sample-records.ts';
import { eventually } from '../../support/eventually.ts';
import { createPostgresSchema, type PostgresSchema } from '../../support/services/postgres-schema.ts';
import { ownPostgresServer, type PostgresServer } from '../../support/services/postgres-server.ts';

interface Process {
  readonly store: Store;
  readonly notices: StoreNotice[];
  readonly warnings: string[];
}

const missed = { type: 'missed' };

describe('the notices of postgresStore', () => {
  let server: PostgresServer;
  let tables: PostgresSchema;
  let stops: (() => Promise<void>)[];

  before(async () => {
    server = await ownPostgresServer({ fsync: true });
    tables = await createPostgresSchema({ url: server.url });
  });

  beforeEach(() => {
    stops = [];
  });

  afterEach(() => Promise.all(stops.map((stop) => stop())));

  after(async () => {
    await tables.drop();
    await server.stop();
  });

  /** A store that hears, as another process would have it. */
  async function openStore(options: Partial<PostgresStoreOptions> = {}): Promise<Process> {
    const { knex, schema } = tables;
    const store = postgresStore({ knex, schema, pollMs: 10, ...options });
    const notices: StoreNotice[] = [];
    const warnings: string[] = [];
    const logger = { warn: (message: string) => warnings.push(message), error: () => undefined };
    const leave = store.open({ logger, onNotice: (notice) => notices.push(notice) });
    stops.push(async () => {
      leave();
      await store.close();
    });
    await eventually(() => notices.length === 1);
    assert.deepEqual(notices.splice(0), [missed]);
    return { store, notices, warnings };
  }

  async function insert({ store }: Process): Promise<StoreNotice> {
    const inserted = await store.insertKey(sampleKey(1), sampleChange(), anyNumber);
    if (inserted.outcome !== 'inserted') assert.fail(inserted.outcome);
    return { type: 'changed', scopeId: `key:${inserted.record.id}`, revision: inserted.record.revision };
  }

  function listeners(): Promise<readonly { readonly pid: number }[]> {
    return tables.run("select pid from pg_stat_activity where query like 'listen llm_keys%'");
  }

  for (const notifications of ['listen', 'poll'] as const) {
    it(`tell every process of a change once, where they ${notifications}`, async () => {
      const here = await openStore({ notifications });
      const there = await openStore({ notifications });
      const first = await insert(here);
      await eventually(() => there.notices.length === 1);
      const second = await insert(there);
      await eventually(() => here.notices.length === 2);
      assert.deepEqual(
        [here.notices, there.notices],
        [
          [first, second],
          [first, second],
        ],
      );
    });
  }

  it('are told to those who poll by those who listen', async () => {
    const here = await openStore();
    const there = await openStore({ notifications: 'poll' });
    const first = await insert(here);
    await eventually(() => there.notices.length === 1);
    const second = await insert(there);
    await eventually(() => here.notices.length === 2);
    assert.deepEqual(here.notices, [first, second]);
  });

  it('of an id that is too long for a payload say that anything may have changed', async () => {
    const here = await openStore();
    const there = await openStore();
    const scopeId = `user:${'é'.repeat(4000)}` as const;
    const policy = samplePolicy(1);
    // An index entry takes 2,704 bytes, of which a repeated letter needs few.
    assert.equal((await here.store.putPolicy(scopeId, policy, sampleChange())).outcome, 'updated');
    await eventually(() => there.notices.length === 1);
    assert.deepEqual(there.notices, [missed]);
  });

  it('come from a transaction that was open when later ones were told', async () => {
    const { notices } = await openStore({ notifications: 'poll' });
    const insertChange = `insert into ${tables.knex.ref('changes').withSchema(tables.schema)} (sender, scope_id, revision)`;
    const slow = await tables.knex.transaction();
    await slow.raw(`${insertChange} values ('other', 'team:slow', 1)`);
    await tables.knex.raw(`${insertChange} values ('other', 'team:quick', 2)`);
    await eventually(() => notices.length === 1);
    await slow.commit();
    await eventually(() => notices.length === 2);
    assert.deepEqual(notices, [
      { type: 'changed', scopeId: 'team:quick', revision: 2 },
      { type: 'changed', scopeId: 'team:slow', revision: 1 },
    ]);
  });

  it('ignore what is none on their channel', async () => {
    const here = await openStore();
    const there = await openStore();
    const [row] = await tables.run<{ channel: string }>(
      "select substring(query from 'listen (.*)') as channel from pg_stat_activity where query like 'listen llm_keys%'",
    );
    for (const payload of ['', 'nonsense', 'other']) {
      await tables.run('select pg_notify(?, ?)', [row?.channel ?? '', payload]);
    }
    const change = await insert(here);
    await eventually(() => there.notices.length === 1);
    assert.deepEqual(there.notices, [change]);
  });

  it('say that some may have been missed when a listener that was killed hears again', async () => {
    const here = await openStore({ notifications: 'poll' });
    const there = await openStore();
    for (const { pid } of await listeners()) await tables.run('select pg_terminate_backend(?)', [pid]);
    await eventually(() => there.notices.some(({ type }) => type === 'missed'));
    there.notices.length = 0;
    const change = await insert(here);
    await eventually(() => there.notices.length === 1);
    assert.deepEqual(there.notices, [change]);
    assert.equal(there.warnings.length, 1);
    assert.equal((await listeners()).length, 1);
  });

  it('are heard again after the server was away, and nothing committed is lost', async () => {
    const listening = await openStore();
    const polling = await openStore({ notifications: 'poll' });
    const change = await insert(listening);
    await server.kill();
    await assert.rejects(listening.store.ping(), { code: 'store_unavailable' });
    await server.restart();
    for (const { notices } of [listening, polling]) notices.length = 0;
    await eventually(() => listening.notices.some(({ type }) => type === 'missed'));
    listening.notices.length = 0;
    await tables.run('select 1');
    const next = await insert(listening);
    await eventually(() =>
      polling.notices.some((notice) => 'scopeId' in notice && 'scopeId' in next && notice.scopeId === next.scopeId),
    );
    assert.deepEqual(listening.notices, [next]);
    const id = 'scopeId' in change ? change.scopeId.slice('key:'.length) : '';
    assert.equal((await listening.store.findKey(id))?.id, id);
  });

  it('keep no connection once nobody has the store open', async () => {
    const { store } = await openStore();
    assert.equal((await listeners()).length, 1);
    await Promise.all(stops.splice(0).map((stop) => stop()));
    await store.close();
    await eventually(async () => (await listeners()).length === 0);
  });
});
