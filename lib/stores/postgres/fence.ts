import { randomUUID } from 'node:crypto';
import { raiseRevision } from '../../ledger/raise-revision.ts';
import { createCounters, type ScopeCounters } from '../../limits/counters.ts';
import type { ScopeId } from '../../limits/limit.ts';
import type { Fence } from '../combinable.ts';
import type { BudgetCarry } from '../store.ts';
import type { Query } from './connection.ts';
import { readScope, writeScope } from './scope-state.ts';

const dayMs = 86_400_000;

/** How long the counters of a removed record are kept for late settlements. */
export const closedRetentionMs = dayMs;

/**
 * Raises the fence of a scope inside a transaction that has locked its record, and carries its budgets over. A scope that
 * the ledger does not know is made known by a record that is new, or denied for good by one that is removed; otherwise
 * nobody can seed it any more with a nonce that was given before.
 */
export async function raiseFence(
  query: Query,
  schema: string,
  fence: Omit<Fence, 'id'>,
  nowMs: number,
): Promise<'fenced' | 'already' | 'unknown'> {
  const { scopeId, revision, isNew, isClosed, carries } = fence;
  let state = await lockScope(query, schema, scopeId);
  if (state === undefined && (isNew || isClosed)) {
    await query(`insert into ${schema}.scopes (id, state) values ($1, $2) on conflict (id) do nothing`, [
      scopeId,
      writeScope(createCounters(scopeId, 0)),
    ]);
    state = await lockScope(query, schema, scopeId);
  }
  if (state === undefined) {
    // A seed that has the nonce already commits before this does, and is seen below; any other finds a new one.
    await query(
      `insert into ${schema}.seed_nonces (scope_id, nonce, until_ms) values ($1, $2, $3)
on conflict (scope_id) do update set nonce = excluded.nonce, until_ms = excluded.until_ms`,
      [scopeId, randomUUID(), nowMs + dayMs],
    );
    state = await lockScope(query, schema, scopeId);
  }
  if (state === undefined) return 'unknown';

  const counters = readOrDeny(scopeId, state);
  if (counters === undefined) return 'unknown';
  // Not by the revision: a call judged by a change may have brought that of a later one, and carries nothing over.
  if (counters.carriedRevision >= revision) return 'already';
  raiseRevision(counters, revision, carries, nowMs);
  if (isClosed) counters.closed = true;
  await query(`update ${schema}.scopes set state = $2, closed_at_ms = $3 where id = $1`, [
    scopeId,
    writeScope(counters),
    counters.closed ? nowMs : null,
  ]);
  return 'fenced';
}

/** Makes a scope known to those who hold its nonce; whoever comes later is superseded. */
export async function seedScope(
  query: Query,
  schema: string,
  seed: { scopeId: ScopeId; nonce: string; revision: number; openings: readonly BudgetCarry[] },
  nowMs: number,
): Promise<'seeded' | 'superseded'> {
  const { scopeId, nonce, revision, openings } = seed;
  const [row] = await query<{ nonce: string }>(
    `select nonce from ${schema}.seed_nonces where scope_id = $1 for update`,
    [scopeId],
  );
  if (row?.nonce !== nonce) return 'superseded';
  const counters = createCounters(scopeId, revision);
  raiseRevision(counters, revision, openings, nowMs);
  const inserted = await query(
    `insert into ${schema}.scopes (id, state) values ($1, $2) on conflict (id) do nothing returning id`,
    [scopeId, writeScope(counters)],
  );
  if (inserted.length === 0) return 'superseded';
  await query(`delete from ${schema}.seed_nonces where scope_id = $1`, [scopeId]);
  return 'seeded';
}

async function lockScope(query: Query, schema: string, scopeId: ScopeId): Promise<string | undefined> {
  const [row] = await query<{ state: string }>(`select state from ${schema}.scopes where id = $1 for no key update`, [
    scopeId,
  ]);
  return row?.state;
}

/** A state that cannot be read denies already. */
function readOrDeny(scopeId: ScopeId, state: string): ScopeCounters | undefined {
  try {
    return readScope(scopeId, state);
  } catch {
    return undefined;
  }
}
