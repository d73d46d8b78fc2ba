import { createHash } from 'node:crypto';
import type { Client } from 'pg';
import type { Clock } from '../store.ts';
import { type Act, createLoadedLedger } from './acts.ts';
import { codeOf, collisions } from './connection.ts';
import type { ExpectedScopes } from './expected-scopes.ts';
import { storable } from './literals.ts';
import { clockMsSql } from './now.ts';
import { createWorkingSet } from './working-set.ts';

/** So much may lie between the time that admissions are decided with and the one at which their rows are written. */
const maxBehindMs = 100;

const anyTime = [0, Number.MAX_SAFE_INTEGER];

/**
 * The session is another one than the driver takes it to be, as behind a pooler, or has forgotten what was prepared: the
 * statement is unknown in it, or known already.
 */
const otherSession = new Set(['26000', '42P05']);

export interface AdmittingAtOnceOptions {
  readonly schema: string;
  /** Whether a connection stays with its session, so that what was prepared in it is there the next time. */
  readonly hasSessions: () => boolean;
  /** In place of the database's clock. */
  readonly clock: () => Clock | undefined;
  readonly expected: ExpectedScopes;
}

/**
 * Carries out admissions in one message, where a transaction under locks takes two. They are decided with the rows as this
 * process left them, at a time that the database's clock has passed. The statement locks the rows, and writes only if all
 * of them are still the same to the letter and the clock, read after the locks, has not come to a moment from which on
 * anything could be decided otherwise. So what it writes is what acts under locks would write. It waits for nobody's
 * locks, and therefore needs no timeouts.
 *
 * @returns the verdicts; `undefined`: nothing was written, and the rows have to be locked first
 */
export type AdmitAtOnce = (client: Client, acts: readonly Act<unknown>[]) => Promise<readonly unknown[] | undefined>;

export function createAdmitAtOnce({ schema, hasSessions, clock, expected }: AdmittingAtOnceOptions): AdmitAtOnce {
  const text = statementOf(schema);
  const name = `llm_keys_${createHash('sha256').update(text).digest('base64url').slice(0, 22)}`;

  async function write(client: Client, values: readonly unknown[]): Promise<boolean> {
    try {
      const { rows } = await client.query({ ...(hasSessions() && { name }), text, values: [...values] });
      return rows.length > 0;
    } catch (error) {
      // Such as a hold that is there already: it has a verdict, which is found under locks.
      if (collisions.has(codeOf(error)) || otherSession.has(codeOf(error))) return false;
      throw error;
    }
  }

  return async (client, acts) => {
    if (!acts.every(({ sameUntilMs }) => sameUntilMs !== undefined)) return undefined;
    const scopeIds = new Set(acts.flatMap(({ scopeIds }) => scopeIds));
    const found = expected.find(scopeIds);
    if (found === undefined) return undefined;

    const injectedMs = clock()?.();
    const nowMs = injectedMs ?? found.nowMs;
    let hasNoticed = false;
    const noteNotice = () => {
      hasNoticed = true;
    };
    const set = createWorkingSet({ scopes: found.rows, holds: [] }, noteNotice);
    const ledger = createLoadedLedger(set, new Set(), noteNotice);
    const results = acts.map((act) => act.run(ledger, nowMs));
    const untilMs = Math.min(...acts.map((act, index) => act.sameUntilMs?.(results[index], nowMs) ?? nowMs));
    if (hasNoticed || untilMs <= nowMs) return undefined;

    const { scopes, newHolds } = set.changes();
    const period = injectedMs === undefined ? [nowMs, Math.floor(Math.min(untilMs, nowMs + maxBehindMs))] : anyTime;
    const hasWritten = await write(client, [
      found.rows.map(({ id }) => storable(id)),
      found.rows.map(({ state }) => state),
      found.absentIds.map(storable),
      ...period,
      scopes.map(({ id }) => storable(id)),
      scopes.map(({ state }) => state),
      newHolds.map(({ id }) => storable(id)),
      newHolds.map(({ until_ms }) => until_ms),
      newHolds.map(({ body }) => body),
    ]);
    if (!hasWritten) {
      expected.forget(scopeIds);
      return undefined;
    }
    expected.wrote(scopes);
    return results;
  };
}

function statementOf(schema: string): string {
  // The time is read row by row, as each lock is got: what locks is no part of the select around it.
  return `with locked as materialized (
  select id, state, ${clockMsSql} as now_ms from (
    select id, state from ${schema}.scopes where id = any($1::text[]) order by id for no key update skip locked) as locked),
same as (
  select max(now_ms) as now_ms from locked join unnest($1, $2::text[]) as expected (id, state) using (id, state)
  having count(*) = cardinality($1) and min(now_ms) >= $4::bigint and max(now_ms) < $5::bigint
    and not exists (select from ${schema}.scopes where id = any($3::text[]))),
changed as (
  insert into ${schema}.scopes (id, state) select changed.* from unnest($6::text[], $7::text[]) as changed, same
  on conflict (id) do update set state = excluded.state),
opened as (
  insert into ${schema}.holds (id, has_ended, until_ms, body)
  select id, false, until_ms, body from unnest($8::text[], $9::bigint[], $10::text[]) as opened (id, until_ms, body), same)
select from same`;
}
