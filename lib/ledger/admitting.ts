import { returnable } from '../limits/counters.ts';
import { type Claim, type Decision, decide, take } from '../limits/decide.ts';
import type { AdmissionPlan, Take } from '../limits/limit.ts';
import { cellEndMs } from '../limits/window.ts';
import type { AdmitRequest, AdmitVerdict, ExtendRequest, Hold } from '../stores/store.ts';
import { type Counting, uncounted } from './counting.ts';
import { type Call, findCall, type Holds } from './holds.ts';
import type { Nonces } from './places.ts';

/** An admission that was minted longer ago could be a repetition of one whose end is forgotten. */
const oldestAdmissionMs = 5 * 60_000;

/** Lets calls in, or says why not. */
export interface Admitting {
  admit(request: AdmitRequest, nowMs: number): AdmitVerdict;
  extend(request: ExtendRequest, nowMs: number): AdmitVerdict;
}

export interface AdmittingOptions {
  readonly counting: Counting;
  readonly holds: Holds;
  readonly nonces: Nonces;
}

export function createAdmitting({ counting, holds, nonces }: AdmittingOptions): Admitting {
  const { scopes, countersOf, roll, correctAll, onClockJump } = counting;

  /** Admits a call into a hold that is open, or is about to be. */
  function place(
    request: AdmitRequest | ExtendRequest,
    call: { holdId: string; callId: string; leaseMs: number; slots: Claim['slots']; replaces: Call | undefined },
    nowMs: number,
  ): { verdict: AdmitVerdict; call?: Call } {
    if (nowMs - request.mintedAtMs > oldestAdmissionMs) return { verdict: { outcome: 'too_old' } };
    const { plan } = request;
    const counters = countersOf(plan);
    const { notAfterMs, clamp } = request;
    const credits = call.replaces && creditsOf(call.replaces, plan, nowMs);
    const claim = { slots: call.slots, counted: call.replaces && countedBy(call.replaces, plan) };
    const demand = { claim, amounts: request.amounts, clamp, notAfterMs, credits };
    const decision = decide(plan, counters, demand, nowMs, onClockJump);
    if (decision.outcome !== 'fits') return { verdict: refusal(decision, nowMs) };

    if (call.replaces !== undefined) {
      correctAll(call.replaces.hold, uncounted(call.replaces.hold), nowMs);
      call.replaces.state = 'replaced';
    }
    take(plan, counters, claim, decision.amounts, decision.remaining, nowMs);
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

  function refusal(decision: Exclude<Decision, { outcome: 'fits' }>, nowMs: number): AdmitVerdict {
    if (decision.outcome !== 'unseeded') return decision;
    const unseeded = decision.scopeIds.map((scopeId) => ({ scopeId, nonce: nonces.draw(scopeId, nowMs) }));
    return { outcome: 'unseeded', scopes: unseeded };
  }

  function creditsOf(call: Call, plan: AdmissionPlan, nowMs: number): readonly number[] {
    return plan.takes.map((planned) => {
      const counters = scopes.find(planned.scopeId);
      const taken = takenBy(call, planned);
      if (counters === undefined || taken === undefined) return 0;
      roll(counters, taken.id, nowMs);
      return returnable(counters, taken, uncounted(call.hold), nowMs);
    });
  }

  return {
    admit(request, nowMs) {
      const { holdId, leaseMs } = request;
      const known = holds.find(holdId);
      if (known !== undefined) return repeated(findCall(known.calls, ''), request);
      if (holds.findEnded(holdId) !== undefined) return { outcome: 'hold_ended' };
      const { verdict, call } = place(request, { holdId, callId: '', leaseMs, slots: 1, replaces: undefined }, nowMs);
      if (call === undefined) return verdict;
      holds.open(
        {
          holdId,
          takes: call.hold.takes,
          calls: [call],
          leaseMs,
          leaseEndsAtMs: 0,
          earlier: undefined,
          later: undefined,
        },
        nowMs,
      );
      return verdict;
    },

    extend(request, nowMs) {
      const { callId } = request;
      const hold = holds.find(request.hold.holdId);
      if (hold === undefined) return { outcome: 'hold_ended' };
      const known = findCall(hold.calls, callId);
      if (known !== undefined) return repeated(known, request);
      const first = findCall(hold.calls, '');
      const replaces = request.replacesFirst && first?.state === 'open' ? first : undefined;
      const { holdId, leaseMs } = hold;
      const { verdict, call } = place(request, { holdId, callId, leaseMs, slots: 0, replaces }, nowMs);
      if (call !== undefined) hold.calls.push(call);
      return verdict;
    },
  };
}

/** Until when a request that was admitted at `nowMs` would have been admitted alike, had no counter changed meanwhile. */
export function admittedUntilMs({ plan, notAfterMs, mintedAtMs }: AdmitRequest, nowMs: number): number {
  const { limits, validUntilMs } = plan;
  let untilMs = Math.min(validUntilMs, notAfterMs ?? Infinity, mintedAtMs + oldestAdmissionMs + 1);
  for (const limit of limits) if ('windowMs' in limit) untilMs = Math.min(untilMs, cellEndMs(limit.windowMs, nowMs));
  return untilMs;
}

/** By position of the limits: those that the call was counted by, too. Those of another model know nothing of it. */
function countedBy(call: Call, plan: AdmissionPlan): readonly boolean[] {
  return plan.takes.map((planned) => takenBy(call, planned) !== undefined);
}

function takenBy({ hold }: Call, { scopeId, id, periodStartMs }: Take): Take | undefined {
  return hold.takes.find(
    (taken) => taken.scopeId === scopeId && taken.id === id && taken.periodStartMs === periodStartMs,
  );
}
