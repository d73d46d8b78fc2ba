import type { Scopes } from '../../ledger/places.ts';
import { raiseRevision } from '../../ledger/raise-revision.ts';
import { createCounters, type ScopeCounters } from '../../limits/counters.ts';
import type { BudgetCarry, ScopeId } from '../../limits/limit.ts';

const dayMs = 86_400_000;

/** How long the counters of a removed key are kept for late settlements. */
const retentionMs = dayMs;

/** The counters of every known scope. */
export interface MemoryScopes extends Scopes {
  /** Makes the scope known, if it is not, and fences it with the revision; budgets carry over in the same act. */
  fence(scopeId: ScopeId, revision: number, carries: readonly BudgetCarry[], nowMs: number): void;
  /** Admits nothing under the scope any more; it is forgotten when nothing can settle there any longer. */
  close(scopeId: ScopeId, revision: number, nowMs: number): void;
}

export function createScopes(): MemoryScopes {
  const scopes = new Map<ScopeId, ScopeCounters>();
  const closed: { scopeId: ScopeId; atMs: number }[] = [];

  function forgetClosed(nowMs: number): void {
    while (closed[0] !== undefined && closed[0].atMs + retentionMs < nowMs) {
      const { scopeId } = closed[0];
      closed.shift();
      const counters = scopes.get(scopeId);
      if (!counters?.closed) continue;
      counters.layout += 1;
      scopes.delete(scopeId);
    }
  }

  return {
    find: (scopeId) => scopes.get(scopeId),
    fence(scopeId, revision, carries, nowMs) {
      const counters = scopes.get(scopeId) ?? createCounters(scopeId, revision);
      scopes.set(scopeId, counters);
      raiseRevision(counters, revision, carries, nowMs);
    },
    close(scopeId, revision, nowMs) {
      const counters = scopes.get(scopeId) ?? createCounters(scopeId, revision);
      scopes.set(scopeId, counters);
      raiseRevision(counters, revision, [], nowMs);
      counters.closed = true;
      closed.push({ scopeId, atMs: nowMs });
      forgetClosed(nowMs);
    },
  };
}
