import type { ScopeId } from '../../limits/limit.ts';
import type { ScopeRow } from './working-set.ts';

/** Scopes that are remembered; when there are more, all are forgotten. */
const maxScopes = 5000;

/** Rows of scopes as they stand, unless somebody else has changed them. */
export interface Expected {
  /** In the order of their ids. */
  readonly rows: readonly ScopeRow[];
  /** Those that nobody knows. */
  readonly absentIds: readonly ScopeId[];
  /** By the database's clock, of a moment that has passed. */
  readonly nowMs: number;
}

/**
 * What a process takes the rows of scopes to be. A scope is worth a guess where the row was found as it had been left: with
 * one that several processes change in turn, nearly every guess would be for nothing.
 */
export interface ExpectedScopes {
  /** `undefined`: one of them is not worth it, or none of them is there. */
  find(scopeIds: ReadonlySet<ScopeId>): Expected | undefined;
  /** Their rows and the time, as they were found under locks this moment. */
  found(scopeIds: ReadonlySet<ScopeId>, rows: readonly ScopeRow[], nowMs: number): void;
  /** Those of them that were changed, and are committed. */
  wrote(rows: readonly ScopeRow[]): void;
  /** The guess was wrong. */
  forget(scopeIds: Iterable<ScopeId>): void;
}

interface Seen {
  /** `null`: there was no row. */
  state: string | null;
  readonly wasLeftAlone: boolean;
}

export function createExpectedScopes(): ExpectedScopes {
  const seen = new Map<string, Seen>();
  /** Of the database's clock before the one that counts since this process began, which nobody sets. */
  let leadMs = 0;

  return {
    find(scopeIds) {
      const rows: ScopeRow[] = [];
      const absentIds: ScopeId[] = [];
      for (const id of scopeIds) {
        const known = seen.get(id);
        if (known === undefined || !known.wasLeftAlone) return undefined;
        if (known.state === null) absentIds.push(id);
        else rows.push({ id, state: known.state });
      }
      if (rows.length === 0) return undefined;
      return { rows, absentIds, nowMs: Math.floor(performance.now() + leadMs) };
    },

    found(scopeIds, rows, nowMs) {
      // The answer was on its way for a while: the lead comes out too small by that, never too large.
      leadMs = nowMs - performance.now();
      const states = new Map(rows.map(({ id, state }) => [id, state]));
      if (seen.size + scopeIds.size > maxScopes) seen.clear();
      for (const id of scopeIds) {
        const state = states.get(id) ?? null;
        seen.set(id, { state, wasLeftAlone: seen.get(id)?.state === state });
      }
    },

    wrote(rows) {
      for (const { id, state } of rows) {
        const known = seen.get(id);
        if (known !== undefined) known.state = state;
      }
    },

    forget(scopeIds) {
      for (const id of scopeIds) seen.delete(id);
    },
  };
}
