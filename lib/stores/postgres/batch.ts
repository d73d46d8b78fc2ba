import type { Client, QueryResult } from 'pg';
import type { ScopeId } from '../../limits/limit.ts';
import type { Clock, StoreNotice } from '../store.ts';
import { type Act, createLoadedLedger } from './acts.ts';
import { begin, type PostgresConnection, queryOf } from './connection.ts';
import { integer, list, text, textOrNull } from './literals.ts';
import { usageStatements } from './usage-lines.ts';
import { type Changes, createWorkingSet, type HoldRow, type ScopeRow } from './working-set.ts';

const dayMs = 86_400_000;

export interface BatchOptions {
  readonly connection: PostgresConnection;
  /** In place of the database's clock. */
  readonly clock: () => Clock | undefined;
  readonly notify: (notice: StoreNotice) => void;
  readonly onCorrupt: (table: 'scopes' | 'holds', id: string, error: unknown) => void;
}

export type RunBatch = (acts: readonly Act<unknown>[]) => Promise<readonly unknown[]>;

/**
 * Carries out acts one after the other in one transaction of two messages: the first locks the rows that they need and
 * reads them, scopes in the order of their ids and then holds; the second writes what has changed and commits.
 */
export function createRunBatch({ connection, clock, notify, onCorrupt }: BatchOptions): RunBatch {
  const { schema, lend } = connection;

  async function attempt(client: Client, acts: readonly Act<unknown>[], scopeIds: Set<ScopeId>) {
    const holdIds = new Set(acts.flatMap((act) => act.holdIds));
    const appliedIds = acts.flatMap(({ appliedId }) => appliedId ?? []);
    const [scopes, holds, appliedRows, time] = await send(client, [
      begin,
      // A list that is empty reads nothing, and says so at no cost.
      `select id, state from ${schema}.scopes where ${isAmong(scopeIds)} order by id for no key update`,
      `select id, number, has_ended, until_ms, body from ${schema}.holds where ${isAmong(holdIds)} order by id for update`,
      `select id from ${schema}.applied_acts where ${isAmong(appliedIds)}`,
      // A statement of its own: the time when the locks were got, not when they were asked for.
      'select floor(extract(epoch from clock_timestamp()) * 1000) as now_ms',
    ]);
    const rows = { scopes: rowsOf<ScopeRow>(scopes), holds: rowsOf<HoldRow>(holds) };
    const set = createWorkingSet(rows, onCorrupt);
    const missing = [...set.scopesOfHolds()].filter((scopeId) => !scopeIds.has(scopeId));
    if (missing.length > 0) {
      for (const scopeId of missing) scopeIds.add(scopeId);
      await client.query('rollback');
      return undefined;
    }

    const nowMs = clock()?.() ?? Number(rowsOf<{ now_ms: string }>(time)[0]?.now_ms);
    const notices: StoreNotice[] = [];
    const wasApplied = new Set(rowsOf<{ id: string }>(appliedRows).map(({ id }) => id));
    const applied = new Set(wasApplied);
    const ledger = createLoadedLedger(set, applied, (notice) => notices.push(notice));
    const results = acts.map((act) => act.run(ledger, nowMs));
    const changes = set.changes();
    const newlyApplied = [...applied].filter((id) => !wasApplied.has(id));
    if (isUnchanged(changes) && newlyApplied.length === 0 && notices.length === 0) {
      await client.query('rollback');
      return { results, notices, drawn: noneDrawn };
    }

    for (const [index, act] of acts.entries()) await act.alongside?.(results[index], queryOf(client));
    const [drawn] = await send(client, [
      ...nonceStatements(schema, changes, nowMs),
      ...changeStatements(schema, changes),
      ...appliedStatements(schema, newlyApplied, nowMs),
      'commit',
    ]);
    return { results, notices, drawn: changes.nonces.size === 0 ? noneDrawn : drawnOf(drawn) };
  }

  return async (acts) => {
    const scopeIds = new Set(acts.flatMap((act) => act.scopeIds));
    const { results, notices, drawn } = await lend(async (client) => {
      try {
        for (;;) {
          const done = await attempt(client, acts, scopeIds);
          if (done !== undefined) return done;
        }
      } catch (error) {
        // A connection that cannot roll back must not go back into the pool: knex drops one that has ended.
        await client.query('rollback').catch(() => client.end());
        throw error;
      }
    });
    for (const notice of notices) notify(notice);
    return acts.map((act, index) => act.finish?.(results[index], drawn) ?? results[index]);
  };
}

const noneDrawn: ReadonlyMap<string, string> = new Map();

/** Sends the statements in one message. The answers to `begin` and its settings are left out. */
async function send(client: Client, statements: readonly string[]): Promise<readonly QueryResult[]> {
  const answered: unknown = await client.query(statements.join(';\n'));
  // The driver gives a list for several statements, which its types do not tell.
  const results = (Array.isArray(answered) ? answered : [answered]) as QueryResult[];
  return results.filter(({ command }) => command !== 'BEGIN' && command !== 'SET');
}

function rowsOf<Row>(result: QueryResult | undefined): readonly Row[] {
  return result?.rows ?? [];
}

function drawnOf(result: QueryResult | undefined): ReadonlyMap<string, string> {
  return new Map(rowsOf<{ scope_id: string; nonce: string }>(result).map((row) => [row.scope_id, row.nonce]));
}

function isAmong(ids: Iterable<string>): string {
  const listed = list(ids);
  return listed === '' ? 'false' : `id in (${listed})`;
}

/** Where nothing was taken or given back, windows may have been rolled at most: that is not worth writing. */
function isUnchanged({ holds, usage, nonces }: Changes): boolean {
  return holds.length === 0 && usage.length === 0 && nonces.size === 0;
}

function changeStatements(schema: string, { scopes, holds, usage }: Changes): readonly string[] {
  const statements: string[] = [];
  for (const { id, state } of scopes) {
    statements.push(`update ${schema}.scopes set state = ${text(state)} where id = ${text(id)}`);
  }
  if (holds.length > 0) {
    const rows = holds.map(
      ({ id, has_ended, until_ms, body }) => `(${text(id)},${has_ended},${integer(until_ms)},${textOrNull(body)})`,
    );
    statements.push(
      `insert into ${schema}.holds (id, has_ended, until_ms, body) values ${rows.join(',')}
on conflict (id) do update set has_ended = excluded.has_ended, until_ms = excluded.until_ms, body = excluded.body`,
    );
  }
  return [...statements, ...usageStatements(schema, usage)];
}

/** First of all statements, so that its answer is the first. */
function nonceStatements(schema: string, { nonces }: Changes, nowMs: number): readonly string[] {
  if (nonces.size === 0) return [];
  const rows = [...nonces].sort(([a], [b]) => (a < b ? -1 : 1));
  const until = integer(nowMs + dayMs);
  return [
    `insert into ${schema}.seed_nonces (scope_id, nonce, until_ms)
values ${rows.map(([scopeId, nonce]) => `(${text(scopeId)},${text(nonce)},${until})`).join(',')}
on conflict (scope_id) do update set until_ms = excluded.until_ms returning scope_id, nonce`,
  ];
}

function appliedStatements(schema: string, ids: readonly string[], nowMs: number): readonly string[] {
  if (ids.length === 0) return [];
  const until = integer(nowMs + dayMs);
  return [
    `insert into ${schema}.applied_acts (id, until_ms) values ${ids.map((id) => `(${text(id)},${until})`).join(',')}`,
  ];
}
