import type { Knex } from 'knex';
import type { Client } from 'pg';
import { StoreUnavailableError } from '../../errors.ts';
import { migrationFiles } from './migrations.ts';

/**
 * Runs one statement with `$1`, `$2` … for its values, and gives the rows. Whole numbers of 64 bits come as strings, as
 * they do from `pg`, unless the application has set another parser: read them with `Number`. JSON goes in as text.
 */
export type Query = <Row>(sql: string, values?: readonly unknown[]) => Promise<readonly Row[]>;

/** The way to the tables of one store. What cannot be answered throws `StoreUnavailableError` with the driver's error. */
export interface PostgresConnection {
  readonly knex: Knex;
  /** As it stands in SQL: `${schema}.keys`. */
  readonly schema: string;
  readonly query: Query;
  /**
   * Runs the work in one transaction. Where two got in each other's way (a deadlock, the same row inserted twice) the
   * transaction is undone and the work runs again, so it must keep nothing outside of the transaction.
   */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  /** Lends a connection for messages of several statements. The work leaves no transaction open. */
  lend<T>(work: (client: Client) => Promise<T>): Promise<T>;
}

/** A process that is stopped within a transaction holds its locks no longer than this. */
const idleTimeoutMs = 2000;
const lockTimeoutMs = 2000;
const statementTimeoutMs = 5000;

// One message to the server instead of four.
export const begin =
  `begin; set local idle_in_transaction_session_timeout = ${idleTimeoutMs}; ` +
  `set local lock_timeout = ${lockTimeoutMs}; set local statement_timeout = ${statementTimeoutMs}`;

const maxAttempts = 4;

export function createConnection({ knex, schema }: { knex: Knex; schema: string }): PostgresConnection {
  const quoted = quoteSchema(schema);
  let checked: Promise<void> | undefined;

  /** Fails where the tables are not those that this version of the package needs. */
  function checkSchema(): Promise<void> {
    checked ??= withClient(knex, async (query) => {
      const [row] = await query<{ version: number | null }>(`select max(id) as version from ${quoted}.migrations`);
      const needed = Object.keys(migrationFiles).length;
      if ((row?.version ?? 0) < needed) throw needsMigration(schema);
    }).catch((error: unknown) => {
      checked = undefined;
      throw error;
    });
    return checked;
  }

  async function answer<T>(ask: () => Promise<T>): Promise<T> {
    try {
      await checkSchema();
      return await ask();
    } catch (error) {
      throw unavailable(error, schema);
    }
  }

  return {
    knex,
    schema: quoted,
    query: (sql, values) => answer(() => withClient(knex, (query) => query(sql, values))),
    transaction: (work) => answer(() => transact(knex, begin, work)),
    lend: (work) => answer(() => withClient(knex, (_query, client) => work(client))),
  };
}

/** @throws TypeError for what Postgres would cut off or refuse */
export function quoteSchema(schema: string): string {
  if (schema === '' || schema.includes('\0') || Buffer.byteLength(schema) > 63) {
    throw new TypeError('schema must be the name of a Postgres schema, of 1 to 63 bytes');
  }
  return `"${schema.replaceAll('"', '""')}"`;
}

/** @throws TypeError unless it is an instance of knex for Postgres */
export function checkKnex(knex: Knex | undefined, caller: string): Knex {
  if (typeof knex?.client?.acquireConnection !== 'function') {
    throw new TypeError(`${caller}: knex must be an instance of knex, such as knex({ client: 'pg', connection })`);
  }
  const { dialect, driverName } = knex.client;
  if (dialect !== 'postgresql' || driverName !== 'pg') {
    throw new TypeError(
      `${caller}: knex must be one for Postgres by the driver pg, and is for ${driverName ?? dialect}`,
    );
  }
  if (knex.isTransaction)
    throw new TypeError(`${caller}: knex must be the instance itself, and is a transaction of it`);
  return knex;
}

/** Lends a connection of knex's pool. Its own query builder would rewrite `?` and take twice the time. */
async function withClient<T>(knex: Knex, work: (query: Query, client: Client) => Promise<T>): Promise<T> {
  const client: Client = await knex.client.acquireConnection();
  try {
    return await work(queryOf(client), client);
  } finally {
    await knex.client.releaseConnection(client);
  }
}

/** Begins a transaction with these statements, and runs the work in it: again, where transactions collided. */
export async function transact<T>(knex: Knex, begin: string, work: (query: Query) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await withClient(knex, async (query, client) => {
        await query(begin);
        try {
          const result = await work(query);
          await query('commit');
          return result;
        } catch (error) {
          // A connection that cannot roll back must not go back into the pool: knex drops one that has ended.
          await query('rollback').catch(() => client.end());
          throw error;
        }
      });
    } catch (error) {
      if (attempt === maxAttempts || !collisions.has(codeOf(error))) throw error;
    }
  }
}

export function queryOf(client: Client): Query {
  return async (sql, values) => (await client.query(sql, values === undefined ? undefined : [...values])).rows;
}

export const uniqueViolation = '23505';
/** Serialization failure, deadlock, unique violation. */
export const collisions = new Set(['40001', '40P01', uniqueViolation]);
/** Undefined table, column and function; invalid schema name. */
const missing = new Set(['42P01', '42703', '42883', '3F000']);

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function unavailable(error: unknown, schema: string): StoreUnavailableError {
  if (error instanceof StoreUnavailableError) return error;
  if (missing.has(codeOf(error))) return needsMigration(schema, error);
  return new StoreUnavailableError('Postgres could not answer', { cause: error });
}

function needsMigration(schema: string, cause?: unknown): StoreUnavailableError {
  const message = `The tables in schema ${JSON.stringify(schema)} are missing or older than this version needs: run migrate(knex, { schema })`;
  // The log tells the message of the cause, so that one has to name the remedy, too.
  return new StoreUnavailableError(message, { cause: new Error(message, { cause }) });
}
