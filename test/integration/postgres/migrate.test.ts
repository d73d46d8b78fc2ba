import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import knexFactory from 'knex';
import pg from 'pg';
import type { StoreUnavailableError } from '../../../lib/errors.ts';
import { migrate } from '../../../lib/stores/postgres/migrate.ts';
import { migrationFiles } from '../../../lib/stores/postgres/migrations.ts';
import { postgresStore } from '../../../lib/stores/postgres/postgres-store.ts';
import { anyNumber, sampleChange, sampleKey } from '../../../lib/testing/store-suite/sample-records.ts';
import { createPostgresSchema } from '../../support/services/postgres-schema.ts';
import { postgresServer } from '../../support/services/postgres-server.ts';
import { newSchema } from '../../support/services/random-name.ts';

const names = Object.keys(migrationFiles);

async function connect() {
  const { url } = await postgresServer();
  return knexFactory({ client: 'pg', connection: url, pool: { min: 0, max: 2 } });
}

async function assertNamesMigrate(store: ReturnType<typeof postgresStore>): Promise<void> {
  await assert.rejects(store.ping(), ({ code, message, cause }: StoreUnavailableError) => {
    assert.equal(code, 'store_unavailable');
    assert.match(message, /run migrate\(knex, \{ schema \}\)/);
    // What the log tells.
    assert.match(cause instanceof Error ? cause.message : '', /run migrate/);
    return true;
  });
}

describe('migrate', () => {
  it('has the files of migrations/, numbered from 1', () => {
    execFileSync(process.execPath, ['scripts/embed-files.mjs', '--check'], { stdio: 'pipe' });
    assert.deepEqual(
      names.map((name) => Number.parseInt(name, 10)),
      names.map((_, index) => index + 1),
    );
  });

  it('carries out each migration once when 20 processes start at once', async () => {
    const schema = newSchema();
    const clients = await Promise.all(Array.from({ length: 20 }, connect));
    const results = await Promise.all(clients.map((knex) => migrate(knex, { schema })));
    const [knex] = clients;
    assert.deepEqual(
      results.flatMap(({ applied }) => applied),
      names,
    );
    assert.equal(results.filter(({ applied }) => applied.length === 0).length, 19);
    await knex?.raw('drop schema ?? cascade', [schema]);
    await Promise.all(clients.map((client) => client.destroy()));
  });

  for (const schema of [
    `A "quoted" ${newSchema()}`,
    `Ünïcode'%s;--${newSchema()}`,
    'select',
    `${newSchema()}`.padEnd(63, 'x'),
  ]) {
    it(`makes a store in the schema ${schema}`, async () => {
      const tables = await createPostgresSchema({ schema });
      const store = postgresStore({ knex: tables.knex, schema });
      const record = sampleKey(Date.now());
      assert.equal((await store.insertKey(record, sampleChange(), anyNumber)).outcome, 'inserted');
      assert.equal((await store.findKey(record.id))?.id, record.id);
      assert.deepEqual(await migrate(tables.knex, { schema }), { applied: [] });
      await tables.drop();
    });
  }

  it('keeps rows of the outbox that were written before, or are by processes of an older version', async () => {
    const [knex, schema] = [await connect(), newSchema()];
    await knex.transaction(async (transaction) => {
      await transaction.raw('create schema ??', [schema]);
      await transaction.raw('set local search_path to ??', [schema]);
      await transaction.raw('create table migrations (id integer primary key, name text not null)');
      for (const [index, name] of ['0001-records', '0002-ledger'].entries()) {
        // knex would take question marks of the file for bindings.
        await transaction.raw(migrationFiles[name as keyof typeof migrationFiles].replaceAll('?', '\\?'));
        await transaction.raw('insert into migrations values (?, ?)', [index + 1, name]);
      }
      await transaction.raw("insert into outbox values ('a', 'id-a', 41, 7000, 7)");
    });
    assert.deepEqual(await migrate(knex, { schema }), { applied: names.slice(2) });
    await knex.raw("insert into ?? (key_id, id, sequence, revision, at_ms) values ('b', 'id-b', 42, 8000, 8)", [
      `${schema}.outbox`,
    ]);
    const store = postgresStore({ knex, schema });
    const rows = [
      { id: 'id-a', keyId: 'a', revision: 7000, atMs: 7 },
      { id: 'id-b', keyId: 'b', revision: 8000, atMs: 8 },
    ];
    assert.deepEqual(await store.readOutbox(10), rows);
    const claimed = await store.claimOutbox(10, 60_000);
    assert.deepEqual(
      claimed.map(({ leaseId, ...row }) => row),
      rows.map((row) => ({ ...row, attempts: 1, isTakenOver: false })),
    );
    await knex.raw('drop schema ?? cascade', [schema]);
    await knex.destroy();
  });

  it('refuses names that are none, and clients that are not for Postgres', async () => {
    const knex = await connect();
    for (const schema of ['', 'a\0b', 'x'.repeat(64), 'ü'.repeat(32)]) {
      await assert.rejects(migrate(knex, { schema }), { name: 'TypeError', message: /^schema must be/ });
      assert.throws(() => postgresStore({ knex, schema }), { name: 'TypeError', message: /^schema must be/ });
    }
    for (const [client, message] of [
      ['redshift', /is for pg-redshift$/],
      ['cockroachdb', /is for cockroachdb$/],
      ['pgnative', /is for pgnative$/],
    ] as const) {
      const other = knexFactory({ client });
      assert.throws(() => postgresStore({ knex: other }), { name: 'TypeError', message });
      await assert.rejects(migrate(other), { name: 'TypeError', message });
    }
    const pool = new pg.Pool();
    for (const client of [undefined, {}, 'postgres://localhost', pool, new pg.Client(), knexFactory]) {
      assert.throws(() => postgresStore({ knex: client as never }), { name: 'TypeError', message: /instance of knex/ });
    }
    await pool.end();
    await knex.transaction(async (transaction) => {
      assert.throws(() => postgresStore({ knex: transaction }), { name: 'TypeError', message: /a transaction of it$/ });
    });
    assert.throws(() => postgresStore({ knex, shema: 'a' } as never), {
      name: 'TypeError',
      message: /no option "shema"/,
    });
    await assert.rejects(migrate(knex, { shema: 'a' } as never), { name: 'TypeError', message: /^migrate: .*"shema"/ });
    assert.throws(() => postgresStore({ knex, notifications: 'push' } as never), { name: 'TypeError' });
    assert.throws(() => postgresStore({ knex, pollMs: 0 }), { name: 'TypeError' });
    await knex.destroy();
  });

  it('is named by a store whose tables are missing, older or dropped, until it has been run', async () => {
    const knex = await connect();
    const schema = newSchema();
    const store = postgresStore({ knex, schema });
    await assertNamesMigrate(store);
    await migrate(knex, { schema });
    await store.ping();
    await knex.withSchema(schema).table('migrations').where('id', names.length).delete();
    await assertNamesMigrate(postgresStore({ knex, schema }));
    await knex.raw('drop schema ?? cascade', [schema]);
    await assert.rejects(store.findKey('a'), { code: 'store_unavailable', message: /run migrate/ });
    await knex.destroy();
  });

  it('leaves the tables of a newer version alone, which this one can use', async () => {
    const tables = await createPostgresSchema();
    await tables.run("insert into migrations (id, name) values (9999, '9999-later')");
    assert.deepEqual(await migrate(tables.knex, { schema: tables.schema }), { applied: [] });
    await postgresStore({ knex: tables.knex, schema: tables.schema }).ping();
    await tables.drop();
  });
});
