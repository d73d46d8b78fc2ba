import type { Knex } from 'knex';
import { refuseUnknownOptions } from '../../options.ts';
import { checkKnex, type Query, quoteSchema, transact } from './connection.ts';
import { migrationFiles } from './migrations.ts';

export interface MigrateOptions {
  /** Where the tables are; it is created where it is missing. @defaultValue 'llm_keys' */
  readonly schema?: string | undefined;
}

export const defaultSchema = 'llm_keys';

/** Of Postgres 13, as `server_version_num` tells it. */
const oldestServer = 130_000;

/**
 * Brings the tables of a store to what this version of the package needs, and leaves them alone where they are. Any number
 * of processes may do so at once. Each migration is carried out once, and all that are due in one transaction.
 *
 * @returns the names of the migrations that this call has carried out
 * @throws TypeError for a client that is none of Postgres, a schema name that is none, and an unknown option
 */
export async function migrate(
  knex: Knex,
  options: MigrateOptions = {},
): Promise<{ readonly applied: readonly string[] }> {
  refuseUnknownOptions('migrate', options, ['schema']);
  const { schema = defaultSchema } = options;
  const quoted = quoteSchema(schema);
  return transact(checkKnex(knex, 'migrate'), 'begin', async (query) => {
    await checkServer(query);
    await query("select pg_advisory_xact_lock(hashtextextended('express-llm-keys ' || $1, 0))", [schema]);
    const done = await findDone(query, schema, quoted);
    const due = Object.entries(migrationFiles).filter(([name]) => !done.has(name));
    if (due.length === 0) return { applied: [] };
    // What the files create without a schema goes into this one.
    await query(`set local search_path to ${quoted}`);
    for (const [name, sql] of due) {
      await query(sql);
      await query(`insert into ${quoted}.migrations (id, name) values ($1, $2)`, [numberOf(name), name]);
    }
    return { applied: due.map(([name]) => name) };
  });
}

async function checkServer(query: Query): Promise<void> {
  const [server] = await query<{ version: string }>("select current_setting('server_version_num') as version");
  const version = Number(server?.version);
  if (version < oldestServer) throw new Error(`Postgres 13 or newer is needed; this one is ${version}`);
}

/** The migrations that the schema has had. Who may not create schemas can be given one that exists. */
async function findDone(query: Query, schema: string, quoted: string): Promise<ReadonlySet<string>> {
  const [found] = await query<{ schema: boolean; migrations: boolean }>(
    `select exists(select from pg_namespace where nspname = $1) as schema,
      exists(select from pg_tables where schemaname = $1 and tablename = 'migrations') as migrations`,
    [schema],
  );
  if (!found?.schema) await query(`create schema ${quoted}`);
  if (!found?.migrations) {
    await query(
      `create table ${quoted}.migrations (
        id integer primary key,
        name text not null,
        applied_at timestamptz not null default clock_timestamp()
      )`,
    );
    return new Set();
  }
  const rows = await query<{ name: string }>(`select name from ${quoted}.migrations`);
  return new Set(rows.map(({ name }) => name));
}

function numberOf(name: string): number {
  return Number.parseInt(name, 10);
}
