import assert from 'node:assert/strict';
import { createVirtualKeys } from '../../../lib/index.ts';
import { postgresStore } from '../../../lib/stores/postgres/postgres-store.ts';
import { admittedOf, call, spend, testLog } from '../../support/service.ts';
import { createPostgresSchema } from '../../support/services/postgres-schema.ts';

describe('postgresStore: clients', () => {
  it('needs one connection of the pool at a time, and so works with a pool of one', async () => {
    const tables = await createPostgresSchema({ pool: { min: 0, max: 1 } });
    const { knex, schema } = tables;
    const log = testLog();
    const keys = createVirtualKeys({ store: postgresStore({ knex, schema }), storeTimeoutMs: 5000, logger: log });
    const made = await Promise.all(
      ['a', 'b', 'c', 'd'].map((name) => keys.create({ name, models: ['*'], maxBudget: 1, maxParallelRequests: 3 })),
    );
    await Promise.all(
      made.map(async ({ key: { id } }) => {
        await Promise.all([spend(keys, id, 0.2), spend(keys, id, 0.3), keys.update(id, { name: 'x' }), keys.list()]);
        assert.equal(await admittedOf(Array.from({ length: 5 }, () => keys.admit(call(id)))), 3);
        await keys.revoke(id);
        const [shown, usage] = await Promise.all([keys.get(id), keys.usage({ keyId: id })]);
        assert.equal(shown.spend, 0.5);
        assert.equal(usage.totals.costUsd, 0.5);
      }),
    );
    await keys.close();
    assert.deepEqual(log.lines, []);
    await tables.drop();
  });
});
