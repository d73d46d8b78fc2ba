import { createGenerations } from '../generations.ts';
import type { AdmissionPlan, PlannedLimit, ScopeId, Take } from '../limits/limit.ts';

/** How much of a limit was used up when the store last told. */
export interface Seen {
  used: number;
  atMs: number;
  /** 0 except for budgets. */
  periodStartMs: number;
}

/** How limits stood when the store last told of them, for the time in which it tells nothing. */
export interface LastSeen {
  /** Costs nothing until it is switched on, since few apps need it. */
  switchOn(): void;
  isOn(): boolean;
  /** `remaining` stands by position of `plan.limits`. */
  remember(plan: AdmissionPlan, remaining: readonly number[], nowMs: number): void;
  /** `undefined`: never seen, or not in this period. */
  find(limit: PlannedLimit): Seen | undefined;
  /** Something has changed since then that the store will tell with its next answer. */
  add(taken: Take, amount: number, atMs: number): void;
}

const maxScopes = 100_000;

export function createLastSeen(): LastSeen {
  const scopes = createGenerations<Map<string, Seen>>({ maxSize: maxScopes });
  let isOn = false;

  function ofScope(scopeId: ScopeId, nowMs: number): Map<string, Seen> {
    const known = scopes.get(scopeId) ?? new Map<string, Seen>();
    scopes.set(scopeId, known, nowMs);
    return known;
  }

  function find(scopeId: ScopeId, id: string, periodStartMs: number): Seen | undefined {
    const seen = scopes.get(scopeId)?.get(id);
    return seen?.periodStartMs === periodStartMs ? seen : undefined;
  }

  return {
    switchOn() {
      isOn = true;
    },
    isOn: () => isOn,
    remember({ limits }, remaining, nowMs) {
      if (!isOn) return;
      let scopeId: ScopeId | undefined;
      let seenOfScope: Map<string, Seen> | undefined;
      for (const [position, limit] of limits.entries()) {
        if (limit.limit === null) continue;
        if (seenOfScope === undefined || limit.scopeId !== scopeId) {
          scopeId = limit.scopeId;
          seenOfScope = ofScope(scopeId, nowMs);
        }
        const used = limit.limit - (remaining[position] ?? 0);
        const seen = seenOfScope.get(limit.id);
        if (seen === undefined) {
          seenOfScope.set(limit.id, { used, atMs: nowMs, periodStartMs: periodOf(limit) });
        } else {
          seen.used = used;
          seen.atMs = nowMs;
          seen.periodStartMs = periodOf(limit);
        }
      }
    },
    find: (limit) => find(limit.scopeId, limit.id, periodOf(limit)),
    add({ scopeId, id, periodStartMs }, amount, atMs) {
      const seen = isOn ? find(scopeId, id, periodStartMs) : undefined;
      if (seen === undefined) return;
      seen.used = Math.max(0, seen.used + amount);
      if (amount > 0) seen.atMs = Math.max(seen.atMs, atMs);
    },
  };
}

function periodOf(limit: PlannedLimit): number {
  return limit.measure === 'budget' ? limit.periodStartMs : 0;
}
