import assert from 'node:assert/strict';
import { Redis } from 'ioredis';
import { createVirtualKeys } from '../../../lib/keys/create-virtual-keys.ts';
import type { VirtualKeys } from '../../../lib/keys/virtual-keys.ts';
import { combineStores } from '../../../lib/stores/combined/combine-stores.ts';
import { postgresStore } from '../../../lib/stores/postgres/postgres-store.ts';
import { redisStore } from '../../../lib/stores/redis/redis-store.ts';
import { priceBook } from '../../../lib/usage/pricing.ts';
import { createKey, testLog } from '../../support/service.ts';
import { createPostgresSchema, type PostgresSchema } from '../../support/services/postgres-schema.ts';
import { ownRedisServer, type RedisServer } from '../../support/services/redis-server.ts';

const prices = priceBook({ '*': { inputPerMillion: 1, outputPerMillion: 2 } });

describe('combineStores over Postgres and a Redis that is emptied', function () {
  this.timeout(30_000);
  let redis: RedisServer;
  let client: Redis;
  let tables: PostgresSchema;
  let keys: VirtualKeys;

  before(async () => {
    [redis, tables] = await Promise.all([ownRedisServer(), createPostgresSchema()]);
    client = new Redis(redis.url);
    const { knex, schema } = tables;
    const store = combineStores({ records: postgresStore({ knex, schema }), ledger: redisStore({ client }) });
    keys = createVirtualKeys({ store, prices, logger: testLog() });
  });

  after(async () => {
    await keys.close();
    client.disconnect();
    await redis.stop();
    await tables.drop();
  });

  async function spend(keyId: string, costUsd: number): Promise<boolean> {
    const result = await keys.admit({ keyId, model: 'm', tokens: 1, costUsd });
    if (!result.admitted) {
      assert.equal(result.reason, 'budget');
      return false;
    }
    await keys.settle(result.hold, { model: 'm', inputTokens: 1, outputTokens: 0, costUsd });
    return true;
  }

  it('begins no budget anew, of key, team or all, with what the archive has', async () => {
    await keys.setPolicy({ team: 'red' }, { maxBudget: 1, budgetDuration: 'monthly' });
    const budgets = { maxBudget: 0.8, budgetDuration: 'daily', teamId: 'red' };
    const { key: first } = await createKey({ keys }, budgets);
    const { key: second } = await createKey({ keys }, budgets);
    assert.ok(await spend(first.id, 0.7));
    assert.deepEqual((await keys.usage({ keyId: first.id })).totals.costUsd, 0.7);

    await client.flushall();
    assert.equal(await spend(first.id, 0.2), false);
    assert.equal(await spend(second.id, 0.4), false);
    assert.ok(await spend(second.id, 0.3));
    assert.deepEqual([(await keys.get(first.id)).spend, (await keys.get(second.id)).spend], [0.7, 0.3]);

    // What is spent from now on reaches the archive, too.
    assert.equal((await keys.usage({ teamId: 'red' })).totals.costUsd, 1);
    await client.flushall();
    assert.equal(await spend(second.id, 0.1), false);
  });

  it('keeps a revocation', async () => {
    const { key } = await createKey({ keys });
    await keys.revoke(key.id);
    await client.flushall();
    const result = await keys.admit({ keyId: key.id, model: 'm', tokens: 1 });
    assert.deepEqual([result.admitted, !result.admitted && result.reason], [false, 'key']);
  });

  it('shows what the archive knows of spend, and says that it is that, while Redis is down', async () => {
    const { key } = await createKey({ keys }, { maxBudget: 5 });
    assert.ok(await spend(key.id, 0.25));
    await keys.usage({ keyId: key.id });
    assert.equal((await keys.get(key.id)).spendIsApproximate, undefined);
    await redis.kill();
    const shown = await keys.get(key.id);
    assert.deepEqual([shown.spend, shown.budgetRemaining, shown.spendIsApproximate], [0.25, 4.75, true]);
    const { items } = await keys.list();
    assert.ok(items.length > 0 && items.every(({ spendIsApproximate }) => spendIsApproximate));
    await assert.rejects(keys.revoke(key.id), { code: 'fence_pending', status: 503 });
    assert.equal((await keys.get(key.id)).status, 'revoked');
    await redis.restart();
  });
});
