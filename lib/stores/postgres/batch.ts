import type { Client, QueryResult } from 'pg';
import type { ScopeId } from '../../limits/limit.ts';
import type { Clock, StoreNotice } from '../store.ts';
import { type Act, createLoadedLedger } from './acts.ts';
import { createAdmitAtOnce } from './admitting-at-once.ts';
import { begin, codeOf, type PostgresConnection, queryOf, uniqueViolation } from './connection.ts';
import { createExpectedScopes } from './expected-scopes.ts';
import { integer, list, text, textOrNull } from './literals.ts';
import { clockMsSql } from './now.ts';
import { usageStatements } from './usage-lines.ts';
import {
  type Changes,
  createWorkingSet,
  type HoldRow,
  type LoadedRows,
  type ScopeRow,
  type WorkingSet,
  type WrittenHold,
} from './working-set.ts';

const dayMs = 86_400_000;

export interface BatchOptions {
  readonly connection: PostgresConnection;
  readonly hasSessions: () => boolean;
  /** In place of the database's clock. */
  readonly clock: () => Clock | undefined;
  readonly notify: (notice: StoreNotice) => void;
  readonly onCorrupt: (table: 'scopes' | 'holds', id: string, error: unknown) => void;
}

export type RunBatch = (acts: readonly Act<unknown>[]) => Promise<readonly unknown[]>;

/**
 * Carries out acts one after the other: admissions {@link createAdmitAtOnce at once} where nobody else has changed their
 * scopes, and all others in one transaction of two messages: the first locks the rows that they need and
 * reads them, scopes in the order of their ids and then holds; the second writes what has changed and commits. Where they
 * turn out to need further rows, they are undone and begin again with these.
 */
export function createRunBatch({ connection, hasSessions, clock, notify, onCorrupt }: BatchOptions): RunBatch {
  const { schema, lend } = connection;
  const expected = createExpectedScopes();
  const admitAtOnce = createAdmitAtOnce({ schema, hasSessions, clock, expected });

  async function attempt(client: Client, acts: readonly Act<unknown>[], needed: NeededRows): Promise<Done | undefined> {
    const locked = await lockRows(client, schema, needed);
    expected.found(needed.scopeIds, locked.scopes, locked.nowMs);
    const set = createWorkingSet(locked, onCorrupt);
    if (addsAny(needed.scopeIds, set.scopesOfHolds())) return rollBack(client, undefined);

    const nowMs = clock()?.() ?? locked.nowMs;
    const notices: StoreNotice[] = [];
    const applied = new Set(locked.applied);
    const ledger = createLoadedLedger(set, applied, (notice) => notices.push(notice));
    const results = acts.map((act) => act.run(ledger, nowMs));
    if (addsAny(needed.holdIds, await findUnseen(client, acts, set))) return rollBack(client, undefined);

    const changes = set.changes();
    const newlyApplied = [...applied].filter((id) => !locked.applied.has(id));
    if (changesNothing(changes) && newlyApplied.length === 0 && notices.length === 0) {
      return rollBack(client, { results, notices, drawn: noneDrawn });
    }
    for (const [index, act] of acts.entries()) await act.alongside?.(results[index], queryOf(client));
    const [drawn] = await send(client, [
      ...nonceStatements(schema, changes, nowMs),
      ...changeStatements(schema, changes),
      ...appliedStatements(schema, newlyApplied, nowMs),
      'commit',
    ]);
    expected.wrote(changes.scopes);
    return { results, notices, drawn: changes.nonces.size === 0 ? noneDrawn : drawnOf(drawn) };
  }

  /** Holds that were to be opened, were not, and are there: they have a verdict already. */
  async function findUnseen(
    client: Client,
    acts: readonly Act<unknown>[],
    set: WorkingSet,
  ): Promise<readonly string[]> {
    const unopened = acts.flatMap(({ opens }) => (opens === undefined || set.isKnown(opens) ? [] : [opens]));
    if (unopened.length === 0) return [];
    const [found] = await send(client, [`select id from ${schema}.holds where ${isAmong(unopened)}`]);
    return rowsOf<{ id: string }>(found).map(({ id }) => id);
  }

  async function carryOut(client: Client, acts: readonly Act<unknown>[]): Promise<Done> {
    const verdicts = await admitAtOnce(client, acts);
    if (verdicts !== undefined) return { results: verdicts, notices: [], drawn: noneDrawn };
    return carryOutUnderLocks(client, acts);
  }

  async function carryOutUnderLocks(client: Client, acts: readonly Act<unknown>[]): Promise<Done> {
    const needed = {
      scopeIds: new Set(acts.flatMap(({ scopeIds }) => scopeIds)),
      holdIds: new Set(acts.flatMap(({ holdIds }) => holdIds)),
      appliedIds: new Set(acts.flatMap(({ appliedId }) => appliedId ?? [])),
    };
    for (;;) {
      try {
        const done = await attempt(client, acts, needed);
        if (done !== undefined) return done;
      } catch (error) {
        // A connection that cannot roll back must not go back into the pool: knex drops one that has ended.
        await client.query('rollback').catch(() => client.end());
        // A hold that was to be opened is there already, and is read with the others.
        const opened = acts.flatMap(({ opens }) => opens ?? []);
        if (codeOf(error) !== uniqueViolation || !addsAny(needed.holdIds, opened)) throw error;
      }
    }
  }

  return async (acts) => {
    const { results, notices, drawn } = await lend((client) => carryOut(client, acts));
    for (const notice of notices) notify(notice);
    return acts.map((act, index) => act.finish?.(results[index], drawn) ?? results[index]);
  };
}

interface Done {
  readonly results: readonly unknown[];
  readonly notices: readonly StoreNotice[];
  readonly drawn: ReadonlyMap<string, string>;
}

interface NeededRows {
  readonly scopeIds: Set<ScopeId>;
  readonly holdIds: Set<string>;
  readonly appliedIds: ReadonlySet<string>;
}

interface LockedRows extends LoadedRows {
  /** Which of the acts that are applied once were applied before. */
  readonly applied: ReadonlySet<string>;
  /** When the locks were got, not when they were asked for. */
  readonly nowMs: number;
}

/** Begins a transaction. What no act needs is not asked for: each statement takes time of its own. */
async function lockRows(client: Client, schema: string, needed: NeededRows): Promise<LockedRows> {
  const { scopeIds, holdIds, appliedIds } = needed;
  // The time is read row by row, as each lock is got: what locks is no part of the select around it.
  const lockScopes = `select id, state, ${clockMsSql} as now_ms from (
select id, state from ${schema}.scopes where ${isAmong(scopeIds)} order by id for no key update) as locked`;
  const lockHolds = `select id, number, has_ended, until_ms, body from ${schema}.holds where ${isAmong(holdIds)} order by id for update`;
  const findApplied = `select id from ${schema}.applied_acts where ${isAmong(appliedIds)}`;
  const [scopes, ...others] = await send(client, [
    begin,
    lockScopes,
    ...(holdIds.size > 0 ? [lockHolds] : []),
    ...(appliedIds.size > 0 ? [findApplied] : []),
  ]);
  const holds = holdIds.size > 0 ? others.shift() : undefined;
  const [applied] = others;
  const locked = rowsOf<ScopeRow & TimeRow>(scopes);
  return {
    scopes: locked,
    holds: rowsOf<HoldRow>(holds),
    applied: new Set(rowsOf<{ id: string }>(applied).map(({ id }) => id)),
    nowMs: Number((locked.at(-1) ?? (await readTime(client))).now_ms),
  };
}

interface TimeRow {
  readonly now_ms: string;
}

/** For acts of which no scope is known. */
async function readTime(client: Client): Promise<TimeRow> {
  const [time] = rowsOf<TimeRow>(await client.query(`select ${clockMsSql} as now_ms`));
  if (time === undefined) throw new Error('The database told no time');
  return time;
}

async function rollBack<T>(client: Client, answer: T): Promise<T> {
  await client.query('rollback');
  return answer;
}

/** Adds the values to the set; answers whether any of them was missing. */
function addsAny<T>(set: Set<T>, values: Iterable<T>): boolean {
  const { size } = set;
  for (const value of values) set.add(value);
  return set.size > size;
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
function changesNothing({ holds, newHolds, usage, nonces }: Changes): boolean {
  return holds.length === 0 && newHolds.length === 0 && usage.length === 0 && nonces.size === 0;
}

function changeStatements(schema: string, { scopes, holds, newHolds, usage }: Changes): readonly string[] {
  const statements: string[] = [];
  if (scopes.length > 0) {
    // They are there, and locked. An update that is joined with a list takes longer, and one for each longer still.
    statements.push(
      `insert into ${schema}.scopes (id, state) values ${scopes.map(({ id, state }) => `(${text(id)},${text(state)})`).join(',')}
on conflict (id) do update set state = excluded.state`,
    );
  }
  const insertHolds = `insert into ${schema}.holds (id, has_ended, until_ms, body) values `;
  if (newHolds.length > 0) statements.push(insertHolds + newHolds.map(holdValues).join(','));
  if (holds.length > 0) {
    statements.push(
      `${insertHolds}${holds.map(holdValues).join(',')}
on conflict (id) do update set has_ended = excluded.has_ended, until_ms = excluded.until_ms, body = excluded.body`,
    );
  }
  return [...statements, ...usageStatements(schema, usage)];
}

function holdValues({ id, has_ended, until_ms, body }: WrittenHold): string {
  return `(${text(id)},${has_ended},${integer(until_ms)},${textOrNull(body)})`;
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
