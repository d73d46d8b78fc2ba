import assert from 'node:assert/strict';
import pg from 'pg';
import { ownPostgresServer, postgresServer } from '../support/services/postgres-server.ts';
import { newSchema } from '../support/services/random-name.ts';

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client(url);
  client.on('error', () => undefined);
  try {
    await client.connect();
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

describe('postgresServer', () => {
  it('answers, the same one to every test file', async () => {
    const { url } = await postgresServer();
    const schema = newSchema();
    await query(url, `CREATE SCHEMA ${schema}; CREATE TABLE ${schema}.t (x int); INSERT INTO ${schema}.t VALUES (1)`);
    assert.deepEqual(await query(url, `SELECT x FROM ${schema}.t`), [{ x: 1 }]);
    await query(url, `DROP SCHEMA ${schema} CASCADE`);
    assert.equal((await postgresServer()).url, url);
  });
});

describe('ownPostgresServer', () => {
  it('sorts text as people do, and not by bytes', async () => {
    const server = await ownPostgresServer();
    assert.deepEqual(await query(server.url, `SELECT x FROM (VALUES ('a'), ('B'), ('c')) AS t (x) ORDER BY x`), [
      { x: 'a' },
      { x: 'B' },
      { x: 'c' },
    ]);
    await server.stop();
  });

  it('keeps what was committed through a kill', async () => {
    const server = await ownPostgresServer({ fsync: true });
    await query(server.url, 'CREATE TABLE t (x int); INSERT INTO t VALUES (1)');
    const killed = server.pid();
    await server.kill();
    assert.throws(() => process.kill(killed, 0), { code: 'ESRCH' });
    await assert.rejects(query(server.url, 'SELECT 1'), { code: 'ECONNREFUSED' });
    await server.restart();
    assert.deepEqual(await query(server.url, 'SELECT x FROM t'), [{ x: 1 }]);
    await server.stop();
  });
});
