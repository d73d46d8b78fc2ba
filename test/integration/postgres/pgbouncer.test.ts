import assert from 'node:assert/strict';
import knexFactory, { type Knex } from 'knex';
import { createVirtualKeys } from '../../../lib/index.ts';
import { migrate } from '../../../lib/stores/postgres/migrate.ts';
import { migrationFiles } from '../../../lib/stores/postgres/migrations.ts';
import { type PostgresStoreOptions, postgresStore } from '../../../lib/stores/postgres/postgres-store.ts';
import type { StoreNotice } from '../../../lib/stores/store.ts';
import { combinableCases, storeCases } from '../../../lib/testing/index.ts';
import { anyNumber, sampleChange, sampleKey } from '../../../lib/testing/store-suite/sample-records.ts';
import { eventually } from '../../support/eventually.ts';
import { admittedOf, call, testLog } from '../../support/service.ts';
import { ownPgBouncer, type Pooler } from '../../support/services/pgbouncer.ts';
import { createPostgresSchema, type PostgresSchema } from '../../support/services/postgres-schema.ts';
import { postgresServer } from '../../support/services/postgres-server.ts';
import { newSchema } from '../../support/services/random-name.ts';

describe('postgresStore behind PgBouncer in transaction mode', () => {
  let pooler: Pooler;
  let tables: PostgresSchema;
  let hasFailed = false;

  before(async () => {
    pooler = await ownPgBouncer((await postgresServer()).url);
    tables = await createPostgresSchema({ url: pooler.url });
  });

  afterEach(function () {
    hasFailed ||= this.currentTest?.isFailed() === true;
  });

  after(async () => {
    await tables.drop({ keep: hasFailed });
    await pooler.stop();
  });

  function connect(url = pooler.url): Knex {
    return knexFactory({ client: 'pg', connection: url, pool: { min: 0, max: 10 } });
  }

  function storeHere(options: Partial<PostgresStoreOptions> = {}) {
    const { knex, schema } = tables;
    return postgresStore({ knex, schema, pollMs: 10, ...options });
  }

  async function emptyStore() {
    await tables.empty();
    return storeHere({ notifications: 'poll' });
  }

  for (const { name, role, run } of storeCases) it(`${role}: ${name}`, () => run(emptyStore));
  for (const { name, role, run } of combinableCases) it(`half of ${role}: ${name}`, () => run(emptyStore));

  it('asks for changes where it was to listen, says so, and misses none', async () => {
    const notices: StoreNotice[] = [];
    const here = storeHere({ notifications: 'poll' });
    const there = storeHere();
    let leave = () => {};
    const warning = await new Promise<string>((warn) => {
      leave = there.open({ logger: { warn, error: warn }, onNotice: (notice) => notices.push(notice) });
    });
    assert.match(warning, /^Notices do not come through, as behind a pooler.*notifications: 'poll'/);
    await eventually(() => notices.length > 0);
    assert.deepEqual(notices.splice(0), [{ type: 'missed' }]);
    const inserted = await here.insertKey(sampleKey(1), sampleChange(), anyNumber);
    if (inserted.outcome !== 'inserted') assert.fail(inserted.outcome);
    await eventually(() => notices.length > 0);
    const { id, revision } = inserted.record;
    assert.deepEqual(notices, [{ type: 'changed', scopeId: `key:${id}`, revision }]);
    leave();
    await there.close();
  });

  it('is closed at once while it finds out whether it is heard', async () => {
    const store = storeHere();
    const server = connect((await postgresServer()).url);
    const log = testLog();
    const leave = store.open({ logger: log, onNotice: () => assert.fail('a notice') });
    await eventually(async () => {
      const { rows } = await server.raw("select 1 from pg_stat_activity where query like 'select pg_notify(%'");
      return rows.length > 0;
    });
    const startMs = performance.now();
    leave();
    await store.close();
    assert.ok(performance.now() - startMs < 2000);
    assert.deepEqual(log.lines, []);
    await server.destroy();
  });

  it('is migrated once by 20 processes that start at once', async () => {
    const schema = newSchema();
    const clients = Array.from({ length: 20 }, () => connect());
    const results = await Promise.all(clients.map((knex) => migrate(knex, { schema })));
    assert.deepEqual(
      results.flatMap(({ applied }) => applied),
      Object.keys(migrationFiles),
    );
    await tables.knex.raw('drop schema ?? cascade', [schema]);
    await Promise.all(clients.map((knex) => knex.destroy()));
  });

  it('keeps a budget exactly with four stores at once, and leaves no setting behind', async () => {
    await tables.empty();
    const { schema } = tables;
    const clients = Array.from({ length: 4 }, () => connect());
    const services = clients.map((knex) =>
      createVirtualKeys({
        store: postgresStore({ knex, schema, notifications: 'poll' }),
        storeTimeoutMs: 10_000,
        logger: testLog(),
      }),
    );
    const [first] = services;
    if (first === undefined) throw new Error('There are four');
    const { key } = await first.create({ name: 'a', models: ['*'], maxBudget: 5 });
    const calls = services.flatMap((keys) =>
      Array.from({ length: 250 }, () => keys.admit(call(key.id, { costUsd: 0.1 }))),
    );
    assert.equal(await admittedOf(calls), 50);
    const settings = ['lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout', 'search_path'];
    const shown = await Promise.all(
      // At once, so that each of the pooler's connections is asked.
      Array.from({ length: 8 }, () =>
        tables.knex.raw(
          `select pg_backend_pid() as pid, pg_sleep(0.05), (select count(*)::int from pg_prepared_statements) as prepared,
${settings.map((name) => `current_setting('${name}') as ${name}`).join(', ')}`,
        ),
      ),
    );
    const rows: { readonly pid: number; readonly prepared: number }[] = shown.flatMap((answer) => answer.rows);
    assert.equal(new Set(rows.map(({ pid }) => pid)).size, 4);
    for (const { pid, ...row } of rows) {
      assert.deepEqual(row, {
        pg_sleep: '',
        prepared: 0,
        lock_timeout: '0',
        statement_timeout: '0',
        idle_in_transaction_session_timeout: '0',
        search_path: '"$user", public',
      });
    }
    await Promise.all(services.map((keys) => keys.close()));
    await Promise.all(clients.map((knex) => knex.destroy()));
  });
});
