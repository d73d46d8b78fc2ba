import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import knexFactory from 'knex';
import { StartError } from '../../../lib/gateway/environment.ts';
import { testGateway } from '../../support/gateway.ts';
import { ownPostgresServer, type PostgresServer } from '../../support/services/postgres-server.ts';
import { ownRedisServer, type RedisServer } from '../../support/services/redis-server.ts';

const ADMIN_TOKEN = 'token';

async function migrate(url: string): Promise<string> {
  const { PATH } = process.env;
  const args = ['--import', 'tsx', 'lib/gateway/cli.ts', 'migrate'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: { PATH, DATABASE_URL: url } });
  return stdout;
}

describe('The gateway on real stores', function () {
  this.timeout(60_000);
  let redis: RedisServer;
  let postgres: PostgresServer;

  before(async () => {
    [redis, postgres] = await Promise.all([ownRedisServer(), ownPostgresServer()]);
  });
  after(() => Promise.all([redis.stop(), postgres.stop()]));

  async function call(url: string, secret: string): Promise<Response> {
    return fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'echo', messages: [{ role: 'user', content: 'Hello, world' }] }),
    });
  }

  it('does not start before the tables are made, and says what makes them', async () => {
    const database = `postgres://postgres@127.0.0.1:${postgres.port}/postgres`;
    await assert.rejects(
      testGateway({ ADMIN_TOKEN, DATABASE_URL: database }),
      new StartError(
        'DATABASE_URL: the tables are missing, or older than this version needs: run npx express-llm-keys migrate',
      ),
    );
    assert.match(await migrate(postgres.url), /^Applied 0001-records.*\n$/);
    assert.equal(await migrate(postgres.url), 'Nothing to do\n');
  });

  for (const [name, stores] of [
    ['redis', () => ({ REDIS_URL: redis.url })],
    ['postgres', () => ({ DATABASE_URL: postgres.url })],
    ['postgres+redis', () => ({ REDIS_URL: redis.url, DATABASE_URL: postgres.url })],
  ] as const) {
    it(`keeps keys and spend through a restart, in ${name}`, async () => {
      const env = { ADMIN_TOKEN, ...stores() };
      const first = await testGateway(env);
      assert.match(first.output(), new RegExp(`kept in the store "${name.replace('+', '\\+')}"`));
      assert.deepEqual(await (await fetch(`${first.url}/healthz`)).json(), {
        status: 'ok',
        store: { name, state: 'up' },
      });
      const { id, secret } = await first.createKey({ rpmLimit: 2 });
      assert.equal((await call(first.url, secret)).status, 200);
      const { spend } = await first.settledBalance(secret);
      assert.ok(spend > 0);
      await first.close();

      const second = await testGateway(env);
      assert.equal((await second.settledBalance(secret)).spend, spend);
      assert.equal((await call(second.url, secret)).status, 200);
      assert.equal((await call(second.url, secret)).status, 429);
      await second.settledBalance(secret);
      const usage = await (await second.admin(`/${id}/usage?days=1`)).json();
      assert.equal((usage as { totals: { requests: number } }).totals.requests, 2);
      await second.close();
    });
  }

  it('tells by its health that the store does not answer, and is well again by itself', async () => {
    const gateway = await testGateway({ ADMIN_TOKEN, REDIS_URL: redis.url, DATABASE_URL: postgres.url });
    const { secret } = await gateway.createKey();
    await redis.kill();
    const down = await fetch(`${gateway.url}/healthz`);
    assert.equal(down.status, 503);
    assert.deepEqual(await down.json(), {
      status: 'unavailable',
      store: { name: 'postgres+redis', state: 'down' },
    });
    assert.equal((await call(gateway.url, secret)).status, 503);
    await redis.restart();
    const endMs = performance.now() + 10_000;
    let status = 0;
    while (status !== 200 && performance.now() < endMs) status = (await call(gateway.url, secret)).status;
    assert.equal(status, 200);
    await gateway.close();
  });

  it('does not start where a service does not answer, and keeps its password to itself', async () => {
    for (const [variable, protocol] of [
      ['REDIS_URL', 'redis'],
      ['DATABASE_URL', 'postgres'],
    ] as const) {
      await assert.rejects(
        testGateway({ ADMIN_TOKEN, [variable]: `${protocol}://me:secret@127.0.0.1:1/0` }),
        (error) => {
          assert.ok(error instanceof StartError);
          assert.match(error.message, new RegExp(`^${variable}: \\w+ does not answer: .*ECONNREFUSED`));
          assert.ok(!error.message.includes('secret'));
          return true;
        },
      );
    }
  });

  it('leaves no connection behind', async () => {
    const gateway = await testGateway({ ADMIN_TOKEN, REDIS_URL: redis.url, DATABASE_URL: postgres.url });
    await gateway.close();
    const knex = knexFactory({ client: 'pg', connection: postgres.url });
    const { rows } = await knex.raw("select pid from pg_stat_activity where application_name = 'express-llm-keys'");
    await knex.destroy();
    assert.deepEqual(rows, []);
  });
});
