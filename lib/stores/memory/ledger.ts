import { randomUUID } from 'node:crypto';
import { createGenerations } from '../../generations.ts';
import {
  type Correction,
  correct,
  findBudget,
  openBudget,
  returnable,
  type ScopeCounters,
} from '../../limits/counters.ts';
import { type Claim, type Decision, decide, take } from '../../limits/decide.ts';
import type { AdmissionPlan, ScopeId } from '../../limits/limit.ts';
import { rollWindow } from '../../limits/window.ts';
import type {
  AdmitRequest,
  AdmitVerdict,
  ExtendRequest,
  Hold,
  Ledger,
  ScopeBalance,
  SettleRequest,
  SettleResult,
  StoreNotice,
} from '../store.ts';
import { abandonedEvent, adjustmentEvent, settledEvent } from './events.ts';
import { type Call, createHolds, type OpenHold } from './holds.ts';
import type { Scopes } from './scopes.ts';
import type { UsageLog } from './usage-log.ts';

/** An admission that was minted longer ago could be a repetition of one whose end is forgotten. */
const oldestAdmissionMs = 5 * 60_000;
const dayMs = 86_400_000;

export interface MemoryLedgerOptions {
  readonly scopes: Scopes;
  readonly usageLog: UsageLog;
  readonly now: () => number;
  readonly notify: (notice: StoreNotice) => void;
  readonly maxEndedHolds: number;
}

/** Counters and holds in one process. Every act is synchronous, and so atomic. */
export interface MemoryLedger {
  admit(request: AdmitRequest): AdmitVerdict;
  extend(request: ExtendRequest): AdmitVerdict;
  settle(request: SettleRequest): SettleResult;
  cancel(hold: Hold): { readonly state: 'cancelled' | 'already' };
  renew(hold: Hold): { readonly state: 'renewed' | 'ended' };
  sweep(limit: number): number;
  balance(scopeId: ScopeId): ScopeBalance | undefined;
  adjust(adjustment: Parameters<Ledger['adjust']>[0]): Awaited<ReturnType<Ledger['adjust']>>;
  seed(...seed: Parameters<Ledger['seed']>): Awaited<ReturnType<Ledger['seed']>>;
  record(...usage: Parameters<Ledger['record']>): Awaited<ReturnType<Ledger['record']>>;
}

export function createLedger(options: MemoryLedgerOptions): MemoryLedger {
  const { scopes, usageLog, now, notify, maxEndedHolds } = options;
  const holds = createHolds(maxEndedHolds);
  const nonces = createGenerations<string>({ maxSize: 10_000, retentionMs: dayMs });
  const applied = createGenerations<true>({ maxSize: maxEndedHolds, retentionMs: dayMs });

  /** Admits a call into a hold that is open, or is about to be. */
  function place(
    request: AdmitRequest | ExtendRequest,
    call: { holdId: string; callId: string; leaseMs: number; claim: Claim; replaces: Call | undefined },
    nowMs: number,
  ): { verdict: AdmitVerdict; call?: Call } {
    if (nowMs - request.mintedAtMs > oldestAdmissionMs) return { verdict: { outcome: 'too_old' } };
    const { plan } = request;
    const counters = plan.scopes.map(({ scopeId }) => scopes.find(scopeId));
    const { notAfterMs, clamp } = request;
    const credits = call.replaces && creditsOf(call.replaces, plan, nowMs);
    const demand = { claim: call.claim, amounts: request.amounts, clamp, notAfterMs, credits };
    const decision = decide(plan, counters, demand, nowMs, onClockJump);
    if (decision.outcome !== 'fits') return { verdict: refusal(decision) };

    if (call.replaces !== undefined) {
      correctAll(call.replaces.hold, uncounted(call.replaces.hold), nowMs);
      call.replaces.state = 'replaced';
    }
    take(plan, counters, call.claim, decision.amounts, decision.remaining, nowMs);
    const hold: Hold = {
      holdId: call.holdId,
      callId: call.callId,
      home: '',
      subject: request.subject,
      takes: plan.takes,
      amounts: decision.amounts,
      atMs: nowMs,
      leaseMs: call.leaseMs,
      trace: request.trace,
    };
    const { outputTokens, remaining } = decision;
    return {
      verdict: { outcome: 'admitted', hold, outputTokens, remaining },
      call: {
        hold,
        requested: request.amounts,
        outputTokens,
        remaining,
        onAbandoned: request.onAbandoned,
        state: 'open',
        event: null,
      },
    };
  }

  function onClockJump(scopeId: ScopeId, limitId: string): void {
    notify({ type: 'clock_jump', scopeId, limitId });
  }

  /** Whoever comes first after a step of the clock tells of it: an admission, a settlement or a look at the balances. */
  function roll({ scopeId, windows }: ScopeCounters, limitId: string, nowMs: number): void {
    const window = windows.get(limitId);
    if (window !== undefined && rollWindow(window, nowMs)) onClockJump(scopeId, limitId);
  }

  /** A verdict that was given before, for the same id and amounts. */
  function repeated(call: Call | undefined, request: AdmitRequest | ExtendRequest): AdmitVerdict {
    if (call === undefined || call.state === 'ended') return { outcome: 'hold_ended' };
    const { tokens, costNanoUsd } = call.requested;
    if (tokens !== request.amounts.tokens || costNanoUsd !== request.amounts.costNanoUsd) {
      return { outcome: 'id_conflict' };
    }
    const { hold, outputTokens, remaining } = call;
    return { outcome: 'admitted', hold, outputTokens, remaining };
  }

  function refusal(decision: Exclude<Decision, { outcome: 'fits' }>): AdmitVerdict {
    if (decision.outcome !== 'unseeded') return decision;
    const unseeded = decision.scopeIds.map((scopeId) => {
      const nonce = nonces.get(scopeId) ?? randomUUID();
      nonces.set(scopeId, nonce, now());
      return { scopeId, nonce };
    });
    return { outcome: 'unseeded', scopes: unseeded };
  }

  function creditsOf(call: Call, plan: AdmissionPlan, nowMs: number): readonly number[] {
    return plan.takes.map(({ scopeId, id, periodStartMs }) => {
      const counters = scopes.find(scopeId);
      const taken = call.hold.takes.find(
        (other) => other.scopeId === scopeId && other.id === id && other.periodStartMs === periodStartMs,
      );
      if (counters === undefined || taken === undefined) return 0;
      roll(counters, id, nowMs);
      return returnable(counters, taken, uncounted(call.hold), nowMs);
    });
  }

  function correctAll(hold: Hold, correction: Correction, nowMs: number): void {
    for (const taken of hold.takes) {
      const counters = scopes.find(taken.scopeId);
      // A scope that the ledger has lost opens with what the usage record says, this call included.
      if (counters === undefined) continue;
      roll(counters, taken.id, nowMs);
      correct(counters, taken, correction, nowMs);
    }
  }

  function closeCall(hold: OpenHold, call: Call, nowMs: number): void {
    call.state = 'ended';
    for (const other of hold.calls.values()) if (other.state === 'open' || other.state === 'replaced') return;
    endHold(hold, nowMs);
  }

  function endHold(hold: OpenHold, nowMs: number): void {
    for (const { scopeId } of hold.slots) {
      const counters = scopes.find(scopeId);
      if (counters !== undefined) counters.openHolds -= 1;
    }
    holds.end(hold, nowMs);
  }

  function abandon(hold: OpenHold, nowMs: number): void {
    for (const call of hold.calls.values()) {
      if (call.state === 'replaced') call.state = 'ended';
      if (call.state !== 'open') continue;
      call.state = 'abandoned';
      const charged = call.onAbandoned === 'charge' ? call.hold.amounts.costNanoUsd : 0;
      correctAll(call.hold, { ...uncounted(call.hold), spentNanoUsd: charged }, nowMs);
      call.event = usageLog.append(abandonedEvent(call.hold, charged));
      notify({ type: 'abandoned', event: call.event });
    }
    endHold(hold, nowMs);
  }

  function endExpired(nowMs: number, limit: number): number {
    let ended = 0;
    for (let hold = holds.expired(nowMs); hold !== undefined && ended < limit; hold = holds.expired(nowMs)) {
      abandon(hold, nowMs);
      ended += 1;
    }
    return ended;
  }

  function settleLate(call: Call, request: SettleRequest, nowMs: number): SettleResult {
    const charged = call.event?.costNanoUsd ?? 0;
    const event = settledEvent(call.hold, request);
    correctAll(call.hold, charge(request, { countedTokens: 0, chargedNanoUsd: charged, heldNanoUsd: 0 }), nowMs);
    call.state = 'ended';
    call.event = call.event === null ? usageLog.append(event) : usageLog.replace(call.event, event);
    return { state: 'late', event: call.event };
  }

  function cancelLate(call: Call, nowMs: number): { readonly state: 'cancelled' } {
    const charged = call.event?.costNanoUsd ?? 0;
    correctAll(call.hold, { ...uncounted(call.hold), countedTokens: 0, heldNanoUsd: 0, spentNanoUsd: -charged }, nowMs);
    call.state = 'ended';
    if (call.event !== null) call.event = usageLog.replace(call.event, { ...call.event, costNanoUsd: 0 });
    return { state: 'cancelled' };
  }

  function settleLost(request: SettleRequest, nowMs: number): SettleResult {
    const { hold } = request;
    correctAll(hold, charge(request, { countedTokens: 0, chargedNanoUsd: 0, heldNanoUsd: 0 }), nowMs);
    const event = usageLog.append({ ...settledEvent(hold, request), source: 'lost_hold' });
    return { state: 'lost_hold', event };
  }

  return {
    admit(request) {
      const nowMs = now();
      endExpired(nowMs, Infinity);
      const { holdId, leaseMs } = request;
      const known = holds.find(holdId);
      if (known !== undefined) return repeated(known.calls.get(''), request);
      if (holds.findEnded(holdId) !== undefined) return { outcome: 'hold_ended' };
      const claim = { requests: 1, slots: 1 } as const;
      const { verdict, call } = place(request, { holdId, callId: '', leaseMs, claim, replaces: undefined }, nowMs);
      if (call === undefined) return verdict;
      holds.open(
        {
          holdId,
          slots: call.hold.takes.filter(({ measure }) => measure === 'concurrency'),
          calls: new Map([['', call]]),
          leaseMs,
          leaseEndsAtMs: 0,
          earlier: undefined,
          later: undefined,
        },
        nowMs,
      );
      return verdict;
    },

    extend(request) {
      const nowMs = now();
      endExpired(nowMs, Infinity);
      const { callId } = request;
      const hold = holds.find(request.hold.holdId);
      if (hold === undefined) return { outcome: 'hold_ended' };
      const known = hold.calls.get(callId);
      if (known !== undefined) return repeated(known, request);
      const first = hold.calls.get('');
      const replaces = request.replacesFirst && first?.state === 'open' ? first : undefined;
      const claim = { requests: replaces === undefined ? 1 : 0, slots: 0 } as const;
      const { holdId, leaseMs } = hold;
      const { verdict, call } = place(request, { holdId, callId, leaseMs, claim, replaces }, nowMs);
      if (call !== undefined) hold.calls.set(callId, call);
      return verdict;
    },

    settle(request) {
      const nowMs = now();
      const { holdId, callId } = request.hold;
      const open = holds.find(holdId);
      const call = open?.calls.get(callId);
      if (open !== undefined && call !== undefined) {
        if (call.state !== 'open') {
          // Whoever ends it by a settlement gives its slot back, too.
          if (call.state === 'replaced') closeCall(open, call, nowMs);
          return { state: 'already', event: null };
        }
        const { tokens, costNanoUsd } = call.hold.amounts;
        const counted = { countedTokens: tokens, chargedNanoUsd: 0, heldNanoUsd: costNanoUsd };
        correctAll(call.hold, charge(request, counted, call.hold.atMs), nowMs);
        call.event = usageLog.append(settledEvent(call.hold, request));
        closeCall(open, call, nowMs);
        return { state: 'settled', event: call.event };
      }
      const ended = holds.findEnded(holdId);
      if (ended instanceof Map) {
        const abandoned = ended.get(callId);
        if (abandoned?.state !== 'abandoned') return { state: 'already', event: null };
        return settleLate(abandoned, request, nowMs);
      }
      if (ended === 'ended') return { state: 'already', event: null };
      if (open !== undefined) {
        open.calls.set(callId, endedBefore(request.hold));
        return settleLost(request, nowMs);
      }
      const charged = ended instanceof Set ? ended : new Set<string>();
      if (charged.has(callId)) return { state: 'already', event: null };
      charged.add(callId);
      holds.rememberEnded(holdId, charged, nowMs);
      return settleLost(request, nowMs);
    },

    cancel(hold) {
      const nowMs = now();
      const open = holds.find(hold.holdId);
      if (open === undefined) {
        const ended = holds.findEnded(hold.holdId);
        const abandoned = ended instanceof Map ? ended.get(hold.callId) : undefined;
        if (abandoned?.state === 'abandoned') return cancelLate(abandoned, nowMs);
        if (ended !== undefined) return { state: 'already' };
        // It may overtake the admission that it cancels.
        holds.rememberEnded(hold.holdId, 'ended', nowMs);
        return { state: 'cancelled' };
      }
      const call = open.calls.get(hold.callId);
      if (call === undefined) {
        open.calls.set(hold.callId, endedBefore(hold));
        return { state: 'cancelled' };
      }
      if (call.state === 'ended') return { state: 'already' };
      if (call.state === 'open') correctAll(call.hold, uncounted(call.hold), nowMs);
      closeCall(open, call, nowMs);
      return { state: 'cancelled' };
    },

    renew(hold) {
      const nowMs = now();
      endExpired(nowMs, Infinity);
      const open = holds.find(hold.holdId);
      if (open === undefined) return { state: 'ended' };
      holds.renew(open, nowMs);
      return { state: 'renewed' };
    },

    sweep: (limit) => endExpired(now(), limit),

    balance(scopeId) {
      const counters = scopes.find(scopeId);
      if (counters === undefined) return undefined;
      const nowMs = now();
      for (const limitId of counters.windows.keys()) roll(counters, limitId, nowMs);
      return balanceOf(counters);
    },

    adjust({ id, scopeId, budgets, subject }) {
      const nowMs = now();
      if (applied.get(id)) return { state: 'already', adjustedNanoUsd: 0 };
      applied.set(id, true, nowMs);
      const counters = scopes.find(scopeId);
      const adjusted = budgets.map(({ budgetId, periodStartMs }) => {
        const budget = counters && findBudget(counters, budgetId, periodStartMs);
        const spent = budget?.spentNanoUsd ?? 0;
        if (budget !== undefined) budget.spentNanoUsd = 0;
        return spent;
      });
      const adjustedNanoUsd = adjusted[0] ?? 0;
      if (adjustedNanoUsd !== 0) {
        usageLog.append(adjustmentEvent(id, subject, -adjustedNanoUsd, nowMs));
      }
      return { state: 'adjusted', adjustedNanoUsd };
    },

    seed(scopeId, nonce, revision, openings) {
      if (scopes.find(scopeId) !== undefined || nonces.get(scopeId) !== nonce) return { state: 'superseded' };
      scopes.fence(scopeId, revision, openings, now());
      return { state: 'seeded' };
    },

    record(event, plan) {
      const name = `${event.holdId}/${event.callId}`;
      if (applied.get(name)) return { state: 'already' };
      const nowMs = now();
      applied.set(name, true, nowMs);
      for (const limit of plan.limits) {
        const counters = scopes.find(limit.scopeId);
        if (limit.measure !== 'budget' || counters === undefined) continue;
        openBudget(counters, limit.id, limit, nowMs).spentNanoUsd += event.costNanoUsd;
      }
      usageLog.append(event);
      return { state: 'recorded' };
    },
  };
}

/** A call that ended before the ledger heard of its beginning, which may still arrive. */
function endedBefore(hold: Hold): Call {
  return {
    hold,
    requested: hold.amounts,
    outputTokens: null,
    remaining: [],
    onAbandoned: 'release',
    state: 'ended',
    event: null,
  };
}

/** The correction after which nothing counts for a call any more. */
function uncounted({ atMs, amounts }: Hold): Correction {
  return {
    takenAtMs: atMs,
    countedTokens: amounts.tokens,
    tokens: 0,
    heldNanoUsd: amounts.costNanoUsd,
    spentNanoUsd: 0,
  };
}

/** The correction after which the true usage counts instead of what counted until now. */
function charge(
  { usage, costNanoUsd, hold }: SettleRequest,
  counted: { countedTokens: number; chargedNanoUsd: number; heldNanoUsd: number },
  takenAtMs = hold.atMs,
): Correction {
  return {
    takenAtMs,
    countedTokens: counted.countedTokens,
    tokens: usage.inputTokens + usage.outputTokens,
    heldNanoUsd: counted.heldNanoUsd,
    spentNanoUsd: costNanoUsd - counted.chargedNanoUsd,
  };
}

/** Of counters that were rolled. */
function balanceOf(counters: ScopeCounters): ScopeBalance {
  const windows = [...counters.windows.values()].map(({ id, windowMs, total }) => ({ id, windowMs, used: total }));
  // A counter that was carried on shows under the period that took it over.
  const budgets = counters.budgets
    .filter(({ movedTo }) => movedTo === null)
    .map(({ budgetId, periodStartMs, spentNanoUsd, heldNanoUsd }) => ({
      budgetId,
      periodStartMs,
      spentNanoUsd,
      heldNanoUsd,
    }));
  const { scopeId, revision, openHolds } = counters;
  return { scopeId, revision, windows, openHolds, budgets };
}
