import { postgresStore } from '../../lib/stores/postgres/postgres-store.ts';
import { combinableCases, storeCases } from '../../lib/testing/index.ts';
import { createPostgresSchema, type PostgresSchema } from '../support/services/postgres-schema.ts';

describe('postgresStore', () => {
  let tables: PostgresSchema;
  let hasFailed = false;

  before(async () => {
    tables = await createPostgresSchema();
  });

  afterEach(function () {
    hasFailed ||= this.currentTest?.isFailed() === true;
  });

  after(() => tables.drop({ keep: hasFailed }));

  async function emptyStore() {
    await tables.empty();
    const { knex, schema } = tables;
    return postgresStore({ knex, schema });
  }

  for (const { name, role, run } of storeCases) it(`${role}: ${name}`, () => run(emptyStore));

  for (const { name, role, run } of combinableCases) it(`half of ${role}: ${name}`, () => run(emptyStore));
});
