import type { ScopeCounters } from '../limits/counters.ts';
import type { ScopeId } from '../limits/limit.ts';
import type { UsageEvent } from '../usage/usage.ts';

/** The counters of the scopes that an act may touch. */
export interface Scopes {
  find(scopeId: ScopeId): ScopeCounters | undefined;
}

/** Where acts write the usage record. */
export interface UsageLines {
  append(event: UsageEvent): UsageEvent;
  /** The line of the same (hold, call) is now this one. */
  replace(earlier: UsageEvent, event: UsageEvent): UsageEvent;
}

/** What an unknown scope may be seeded with; only those who hold it have read the record later than they were told. */
export interface Nonces {
  /** The nonce of the scope, drawn where there is none. */
  draw(scopeId: ScopeId, nowMs: number): string;
}
