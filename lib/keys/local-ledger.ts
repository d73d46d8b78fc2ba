import { correct, createCounters, openBudget, type ScopeCounters, windowOf } from '../limits/counters.ts';
import { decide, take } from '../limits/decide.ts';
import type { PlannedLimit, ScopeId, Take } from '../limits/limit.ts';
import { findCounters } from '../limits/plan-counters.ts';
import { rollWindow, takeFromWindow } from '../limits/window.ts';
import type { AdmitVerdict, Amounts, ExtendRequest, Hold } from '../stores/store.ts';
import type { LastSeen } from './last-seen.ts';

/** What is asked of the store, without what only the store needs. */
export type LocalRequest = Omit<ExtendRequest, 'hold' | 'callId' | 'replacesFirst'>;

/**
 * Stands in for a ledger that is down: decides by what was left when it last told, counts what it admits itself, and
 * remembers each of these calls until the ledger has heard of it.
 */
export interface LocalLedger {
  /** `undefined`: it can't tell, because a limit was never seen, or because too many calls wait for the store already. */
  admit(request: LocalRequest, hold: Hold, nowMs: number): AdmitVerdict | undefined;
  /** Whether the call was admitted here, and the ledger has not heard of it. */
  has(holdId: string): boolean;
  /** A call has ended, whoever admitted it, and consumed this much. */
  end(hold: Hold, consumed: Amounts, nowMs: number): void;
  /** The ledger has heard of the call, or never will. */
  forget(holdId: string): void;
  /** The ledger answers again: it knows better how its limits stand. */
  reset(): void;
}

/** Calls that wait for the store, running ones included. More are not admitted, since none may be lost. */
const maxCalls = 10_000;
const wholeClaim = { slots: 1 } as const;

interface LocalCall {
  readonly hold: Hold;
  /** The estimate, and then what was consumed. */
  counted: Amounts;
  isOpen: boolean;
}

interface LocalScope {
  readonly counters: ScopeCounters;
  /** Limits that begin with what was seen of them. */
  readonly opened: Set<string>;
}

export function createLocalLedger(lastSeen: Omit<LastSeen, 'switchOn' | 'remember'>): LocalLedger {
  const calls = new Map<string, LocalCall>();
  const callsOfScope = new Map<ScopeId, Set<LocalCall>>();
  const scopes = new Map<ScopeId, LocalScope>();

  function scopeOf(scopeId: ScopeId): LocalScope {
    const known = scopes.get(scopeId) ?? { counters: createCounters(scopeId, 0), opened: new Set() };
    scopes.set(scopeId, known);
    return known;
  }

  /** Whether it is known how the limit stands. */
  function open(limit: PlannedLimit, nowMs: number): boolean {
    if (limit.limit === null) return true;
    const { counters, opened } = scopeOf(limit.scopeId);
    if (opened.has(limit.id)) return lastSeen.find(limit) !== undefined;
    const seen = lastSeen.find(limit);
    if (seen === undefined) return false;
    opened.add(limit.id);
    add(counters, limit, seen.used, seen.atMs, nowMs);
    for (const call of callsOfScope.get(limit.scopeId) ?? []) {
      const taken = call.hold.takes.find((take) => isOf(take, limit));
      if (taken !== undefined) add(counters, limit, countedBy(call, taken), call.hold.atMs, nowMs);
    }
    return true;
  }

  function remember(hold: Hold): void {
    const call = { hold, counted: hold.amounts, isOpen: true };
    calls.set(hold.holdId, call);
    for (const scopeId of new Set(hold.takes.map((taken) => taken.scopeId))) {
      const ofScope = callsOfScope.get(scopeId) ?? new Set();
      callsOfScope.set(scopeId, ofScope.add(call));
    }
  }

  function endHere(call: LocalCall, consumed: Amounts, nowMs: number): void {
    const { takes, atMs } = call.hold;
    const correction = {
      takenAtMs: atMs,
      countedTokens: call.counted.tokens,
      tokens: consumed.tokens,
      heldNanoUsd: call.counted.costNanoUsd,
      spentNanoUsd: consumed.costNanoUsd,
    };
    call.isOpen = false;
    call.counted = consumed;
    for (const taken of takes) {
      const counters = scopes.get(taken.scopeId)?.counters;
      if (counters === undefined) continue;
      if (taken.measure === 'concurrency') counters.openHolds -= 1;
      else correct(counters, taken, correction, nowMs);
    }
  }

  /** The store admitted it: what it told then counts the call as it was estimated. */
  function endElsewhere(hold: Hold, consumed: Amounts, nowMs: number): void {
    for (const taken of hold.takes) {
      const more = changeBy(taken, hold, consumed);
      if (more === 0) continue;
      lastSeen.add(taken, more, nowMs);
      const scope = scopes.get(taken.scopeId);
      if (scope === undefined || !scope.opened.has(taken.id)) continue;
      const correction = { takenAtMs: nowMs, countedTokens: 0, tokens: more, heldNanoUsd: 0, spentNanoUsd: more };
      if (taken.measure === 'concurrency') scope.counters.openHolds = Math.max(0, scope.counters.openHolds + more);
      else correct(scope.counters, taken, correction, nowMs);
    }
  }

  return {
    admit(request, hold, nowMs) {
      const { plan, amounts, clamp, notAfterMs } = request;
      if (calls.size >= maxCalls) return undefined;
      for (const limit of plan.limits) if (!open(limit, nowMs)) return undefined;
      const counters = findCounters(plan.scopes, plan.takes, (scopeId) => scopeOf(scopeId).counters);
      const demand = { claim: wholeClaim, amounts, clamp, notAfterMs };
      const decision = decide(plan, counters, demand, nowMs, () => undefined);
      if (decision.outcome === 'refused' || decision.outcome === 'expired') return decision;
      if (decision.outcome !== 'fits') return undefined;
      const { remaining, outputTokens } = decision;
      take(plan, counters, wholeClaim, decision.amounts, remaining, nowMs);
      const admitted = { ...hold, takes: plan.takes, amounts: decision.amounts, atMs: nowMs };
      remember(admitted);
      return { outcome: 'admitted', hold: admitted, outputTokens, remaining };
    },
    has: (holdId) => calls.has(holdId),
    end(hold, consumed, nowMs) {
      const call = calls.get(hold.holdId);
      if (call === undefined) {
        if (lastSeen.isOn()) endElsewhere(hold, consumed, nowMs);
      } else if (call.isOpen) {
        endHere(call, consumed, nowMs);
      }
    },
    forget(holdId) {
      const call = calls.get(holdId);
      if (call === undefined) return;
      calls.delete(holdId);
      for (const taken of call.hold.takes) {
        // Until the store tells how the limit stands with it.
        lastSeen.add(taken, countedBy(call, taken), call.hold.atMs);
        const ofScope = callsOfScope.get(taken.scopeId);
        ofScope?.delete(call);
        if (ofScope?.size === 0) callsOfScope.delete(taken.scopeId);
      }
    },
    reset: () => scopes.clear(),
  };
}

function add(counters: ScopeCounters, limit: PlannedLimit, amount: number, atMs: number, nowMs: number): void {
  if (limit.measure === 'budget') {
    openBudget(counters, limit.id, limit, nowMs).spentNanoUsd += amount;
  } else if (limit.measure === 'concurrency') {
    counters.openHolds += amount;
  } else {
    const window = windowOf(counters, limit.id, limit.windowMs);
    rollWindow(window, atMs);
    takeFromWindow(window, amount);
  }
}

/**
 * By how much less or more counts against a limit when a call has ended that the store admitted. Its slot is free; tokens
 * and money that it gives back are not counted on before the store tells so.
 */
function changeBy({ measure }: Take, { callId, amounts }: Hold, consumed: Amounts): number {
  switch (measure) {
    case 'requests':
      return 0;
    case 'tokens':
      return Math.max(0, consumed.tokens - amounts.tokens);
    case 'concurrency':
      return callId === '' ? -1 : 0;
    case 'budget':
      return Math.max(0, consumed.costNanoUsd - amounts.costNanoUsd);
  }
}

function isOf(taken: Take, limit: PlannedLimit): boolean {
  if (taken.scopeId !== limit.scopeId || taken.id !== limit.id) return false;
  return limit.measure !== 'budget' || taken.periodStartMs === limit.periodStartMs;
}

/** What a call that the ledger has not heard of counts against a limit. */
function countedBy({ counted, isOpen }: LocalCall, taken: Take): number {
  switch (taken.measure) {
    case 'requests':
      return 1;
    case 'tokens':
      return counted.tokens;
    case 'concurrency':
      return isOpen ? 1 : 0;
    case 'budget':
      return counted.costNanoUsd;
  }
}
