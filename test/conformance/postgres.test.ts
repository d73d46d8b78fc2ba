import { postgresStore } from '../../lib/stores/postgres/postgres-store.ts';
import { combinableCases, storeCases } from '../../lib/testing/index.ts';
import { createPostgresSchema, type PostgresSchema } from '../support/services/postgres-schema.ts';
import { ownPostgresServer, type PostgresServer, postgresServer } from '../support/services/postgres-server.ts';

type Start = () => Promise<Pick<PostgresServer, 'url' | 'stop'>>;

const servers: readonly (readonly [where: string, start: Start])[] = [
  ['', async () => ({ url: (await postgresServer()).url, stop: async () => undefined })],
  [' on the oldest Postgres', () => ownPostgresServer({ version: 13 })],
];

for (const [where, start] of servers) {
  describe(`postgresStore${where}`, () => {
    let server: Awaited<ReturnType<Start>>;
    let tables: PostgresSchema;
    let hasFailed = false;

    before(async function () {
      // The programs of another version are fetched first.
      this.timeout(120_000);
      server = await start();
      tables = await createPostgresSchema({ url: server.url });
    });

    afterEach(function () {
      hasFailed ||= this.currentTest?.isFailed() === true;
    });

    after(async () => {
      await tables.drop({ keep: hasFailed });
      await server.stop();
    });

    async function emptyStore() {
      await tables.empty();
      const { knex, schema } = tables;
      return postgresStore({ knex, schema });
    }

    for (const { name, role, run } of storeCases) it(`${role}: ${name}`, () => run(emptyStore));

    for (const { name, role, run } of combinableCases) it(`half of ${role}: ${name}`, () => run(emptyStore));
  });
}
