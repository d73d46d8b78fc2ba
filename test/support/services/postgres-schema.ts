import knexFactory, { type Knex } from 'knex';
import { migrate } from '../../../lib/stores/postgres/migrate.ts';
import { postgresServer } from './postgres-server.ts';
import { newSchema } from './random-name.ts';

/** The tables of a store in a schema of one test file. */
export interface PostgresSchema {
  readonly knex: Knex;
  readonly schema: string;
  /** Runs one statement in the schema. */
  run<Row>(sql: string, bindings?: readonly (string | number)[]): Promise<readonly Row[]>;
  /** Leaves the tables as they were made. */
  empty(): Promise<void>;
  /** Removes the schema, unless a test failed and somebody wants to look. */
  drop(options?: { readonly keep?: boolean }): Promise<void>;
}

export async function createPostgresSchema(
  options: { readonly schema?: string; readonly url?: string; readonly pool?: Knex.PoolConfig } = {},
): Promise<PostgresSchema> {
  const { schema = newSchema(), pool = { min: 0, max: 10 } } = options;
  const knex = knexFactory({ client: 'pg', connection: options.url ?? (await postgresServer()).url, pool });
  await migrate(knex, { schema });
  const { rows } = await knex.raw<{ rows: { tablename: string }[] }>(
    "select tablename from pg_tables where schemaname = ? and tablename <> 'migrations'",
    [schema],
  );
  const tables = rows.map(({ tablename }) => knex.ref(`${tablename}`).withSchema(schema).toString());
  return {
    knex,
    schema,
    async run(sql, bindings = []) {
      return knex.transaction(async (transaction) => {
        await transaction.raw('set local search_path to ??', [schema]);
        return (await transaction.raw(sql, bindings)).rows;
      });
    },
    async empty() {
      // Ten times as fast as to truncate them, which makes new files of every table and index.
      await knex.raw(tables.map((table) => `delete from ${table}`).join(';'));
    },
    async drop({ keep = false } = {}) {
      if (!keep) await knex.raw('drop schema ?? cascade', [schema]);
      await knex.destroy();
    },
  };
}
