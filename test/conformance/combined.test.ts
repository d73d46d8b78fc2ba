import { Redis } from 'ioredis';
import { combineStores } from '../../lib/stores/combined/combine-stores.ts';
import { memoryStore } from '../../lib/stores/memory/memory-store.ts';
import { postgresStore } from '../../lib/stores/postgres/postgres-store.ts';
import { redisStore } from '../../lib/stores/redis/redis-store.ts';
import { storeCases } from '../../lib/testing/index.ts';
import { createPostgresSchema, type PostgresSchema } from '../support/services/postgres-schema.ts';
import { newPrefix } from '../support/services/random-name.ts';
import { redisServer } from '../support/services/redis-server.ts';

describe('combineStores over memory and memory', () => {
  for (const { name, role, run } of storeCases) {
    it(`${role}: ${name}`, () => run(() => combineStores({ records: memoryStore(), ledger: memoryStore() })));
  }
});

describe('combineStores over Postgres and Redis', () => {
  let tables: PostgresSchema;
  let client: Redis;
  let hasFailed = false;

  before(async () => {
    tables = await createPostgresSchema();
    client = new Redis((await redisServer()).url);
  });

  afterEach(function () {
    hasFailed ||= this.currentTest?.isFailed() === true;
  });

  after(async () => {
    client.disconnect();
    await tables.drop({ keep: hasFailed });
  });

  for (const { name, role, run } of storeCases) {
    it(`${role}: ${name}`, () =>
      run(async () => {
        await tables.empty();
        const { knex, schema } = tables;
        const records = postgresStore({ knex, schema });
        return combineStores({ records, ledger: redisStore({ client, prefix: newPrefix() }) });
      }));
  }
});
