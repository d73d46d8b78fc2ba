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
  const connection = options.url ?? (await postgresServer()).url;
  // What it would log it also throws.
  const knex = knexFactory({ client: 'pg', connection, pool, log: { warn() {}, error() {} } });
  await migrate(knex, { schema });
  const { rows } = await knex.raw<{ rows: { statement: string }[] }>(
    `select format('delete from %I.%I', schemaname, tablename) as statement
from pg_tables where schemaname = :schema and tablename <> 'migrations'
union all select format('select setval(%L, 1, false)', format('%I.%I', schemaname, sequencename))
from pg_sequences where schemaname = :schema`,
    { schema },
  );
  const emptying = rows.map(({ statement }) => statement).join(';');
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
      // Sooner done than to truncate them, which makes new files for every table and index.
      await knex.raw(emptying);
    },
    async drop({ keep = false } = {}) {
      if (!keep) await knex.raw('drop schema ?? cascade', [schema]);
      await knex.destroy();
    },
  };
}
