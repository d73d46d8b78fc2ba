import { learnPeriod, openBudget, windowOf } from './counters.ts';
import type { AdmissionPlan, Amounts, Clamp, PlannedLimit, ScopeId } from './limit.ts';
import type { PlanCounters } from './plan-counters.ts';
import { rollWindow, takeFromWindow, type WindowCounter, waitForRoom } from './window.ts';

/** Nothing tells when a slot will be free: a client is asked to come back after a second. */
const slotRetryMs = 1000;

/** What a call takes beside tokens and money: one request of each limit, and a slot unless it is a further call. */
export interface Claim {
  readonly slots: 0 | 1;
  /** By position of `plan.limits`: where its request counts already, as that of the call whose place it takes. */
  readonly counted?: readonly boolean[] | undefined;
}

export interface Demand {
  readonly claim: Claim;
  readonly amounts: Amounts;
  readonly clamp?: Clamp | undefined;
  readonly notAfterMs: number | null;
  /** By position of `plan.limits`: what the request gives back in the same act, such as a call whose place it takes. */
  readonly credits?: readonly number[] | undefined;
}

export type Decision =
  | {
      readonly outcome: 'fits';
      readonly amounts: Amounts;
      readonly outputTokens: number | null;
      readonly remaining: number[];
    }
  | {
      readonly outcome: 'refused';
      readonly by: number | 'max_tokens';
      readonly retryAfterMs: number | null;
      readonly remaining: number[];
    }
  | { readonly outcome: 'stale'; readonly scopeId: ScopeId; readonly revision: number }
  | { readonly outcome: 'stale_clock'; readonly nowMs: number }
  | { readonly outcome: 'unseeded'; readonly scopeIds: readonly ScopeId[] }
  | { readonly outcome: 'expired' };

/**
 * Decides whether a request fits under every limit of its plan. Of the counters only the windows are rolled to `nowMs`;
 * nothing is taken before {@link take}.
 */
export function decide(
  plan: AdmissionPlan,
  counters: PlanCounters,
  demand: Demand,
  nowMs: number,
  onClockJump: (scopeId: ScopeId, limitId: string) => void,
): Decision {
  const fenced = fence(plan, counters, demand, nowMs);
  if (fenced !== undefined) return fenced;

  const { credits } = demand;
  const remaining = new Array<number>(plan.limits.length);
  for (let position = 0; position < plan.limits.length; position += 1) {
    const limit = plan.limits[position];
    if (limit === undefined) continue;
    remaining[position] = room(limit, position, counters, nowMs, onClockJump) + (credits?.[position] ?? 0);
  }
  const outputTokens = demand.clamp === undefined ? null : affordableOutput(plan, demand.clamp, remaining);
  const amounts = outputTokens === null ? demand.amounts : clampedAmounts(demand.clamp as Clamp, outputTokens);

  let by: number | 'max_tokens' | undefined;
  let retryAfterMs: number | null = 0;
  if (plan.maxTokensPerRequest !== null && amounts.tokens > plan.maxTokensPerRequest.limit) {
    by = 'max_tokens';
    retryAfterMs = null;
  }
  for (let position = 0; position < plan.limits.length; position += 1) {
    const limit = plan.limits[position];
    if (limit === undefined || limit.limit === null) continue;
    const amount = amountFor(limit, position, demand.claim, amounts);
    if (amount === 0 && isCount(limit)) continue;
    if (limit.limit > 0 && amount <= (remaining[position] ?? 0)) continue;
    const waitMs = wait(limit, counters.windows[position], amount, credits?.[position] ?? 0, nowMs);
    // The longest wait is the truth for the whole request; the first of equals names it.
    if (by === undefined || (retryAfterMs !== null && (waitMs === null || waitMs > retryAfterMs))) {
      by = position;
      retryAfterMs = waitMs;
    }
  }
  if (by !== undefined) return { outcome: 'refused', by, retryAfterMs, remaining: remaining.map(notNegative) };
  return { outcome: 'fits', amounts, outputTokens, remaining };
}

/** Takes the decided amounts from every limit, and leaves in `remaining` what is left after it. */
export function take(
  plan: AdmissionPlan,
  counters: PlanCounters,
  claim: Claim,
  amounts: Amounts,
  remaining: number[],
  nowMs: number,
): void {
  for (let index = 0; index < plan.scopes.length; index += 1) {
    const scope = counters.scopes[index];
    const revision = plan.scopes[index]?.revision ?? 0;
    if (scope !== undefined && scope.revision < revision) scope.revision = revision;
  }
  for (let position = 0; position < plan.limits.length; position += 1) {
    const limit = plan.limits[position];
    const owner = counters.owners[position];
    if (limit === undefined || owner === undefined) continue;
    const amount = amountFor(limit, position, claim, amounts);
    remaining[position] = notNegative((remaining[position] ?? 0) - amount);
    if (limit.measure === 'budget') {
      const budget = counters.budgets[position] ?? openBudget(owner, limit.id, limit, nowMs);
      learnPeriod(budget, limit);
      budget.heldNanoUsd += amount;
    } else if (limit.measure === 'concurrency') {
      owner.openHolds += amount;
    } else {
      const window = counters.windows[position] ?? windowOf(owner, limit.id, limit.windowMs);
      rollWindow(window, nowMs);
      takeFromWindow(window, amount);
    }
  }
}

function fence(plan: AdmissionPlan, counters: PlanCounters, demand: Demand, nowMs: number): Decision | undefined {
  let unseeded: ScopeId[] | undefined;
  for (let index = 0; index < plan.scopes.length; index += 1) {
    const scope = plan.scopes[index];
    const scopeCounters = counters.scopes[index];
    if (scope === undefined) continue;
    if (scopeCounters === undefined) {
      if (scope.revision > 0) unseeded = [...(unseeded ?? []), scope.scopeId];
    } else if (scopeCounters.closed || scopeCounters.revision > scope.revision) {
      return { outcome: 'stale', scopeId: scope.scopeId, revision: scopeCounters.revision };
    }
  }
  if (unseeded !== undefined) return { outcome: 'unseeded', scopeIds: unseeded };
  if (demand.notAfterMs !== null && nowMs >= demand.notAfterMs) return { outcome: 'expired' };
  if (nowMs < plan.validFromMs || nowMs >= plan.validUntilMs) return { outcome: 'stale_clock', nowMs };
  return undefined;
}

/** What is left of a limit before the request; negative where it was passed by real cost. */
function room(
  limit: PlannedLimit,
  position: number,
  counters: PlanCounters,
  nowMs: number,
  onClockJump: (scopeId: ScopeId, limitId: string) => void,
): number {
  if (limit.limit === null) return Infinity;
  if (limit.measure === 'concurrency') return limit.limit - (counters.owners[position]?.openHolds ?? 0);
  if (limit.measure === 'budget') {
    const budget = counters.budgets[position];
    return budget === undefined ? limit.limit : limit.limit - (budget.spentNanoUsd + budget.heldNanoUsd);
  }
  const window = counters.windows[position];
  if (window === undefined) return limit.limit;
  if (rollWindow(window, nowMs)) onClockJump(limit.scopeId, limit.id);
  return limit.limit - window.total;
}

function wait(
  limit: PlannedLimit,
  window: WindowCounter | undefined,
  amount: number,
  credit: number,
  nowMs: number,
): number | null {
  if (limit.limit === null || limit.limit === 0 || amount > limit.limit) return null;
  if (limit.measure === 'concurrency') return slotRetryMs;
  if (limit.measure === 'budget') return limit.periodEndMs === null ? null : limit.periodEndMs - nowMs;
  return window === undefined ? 0 : waitForRoom(window, amount - credit, limit.limit, nowMs);
}

function amountFor(limit: PlannedLimit, position: number, claim: Claim, amounts: Amounts): number {
  switch (limit.measure) {
    case 'requests':
      return claim.counted?.[position] ? 0 : 1;
    case 'tokens':
      return amounts.tokens;
    case 'concurrency':
      return claim.slots;
    case 'budget':
      return amounts.costNanoUsd;
  }
}

function isCount(limit: PlannedLimit): boolean {
  return limit.measure === 'requests' || limit.measure === 'concurrency';
}

/** The most output that every token limit and budget still affords; the least asked for where even that is too much. */
function affordableOutput(plan: AdmissionPlan, clamp: Clamp, remaining: readonly number[]): number {
  let output = clamp.maxOutputTokens;
  if (plan.maxTokensPerRequest !== null) output = Math.min(output, plan.maxTokensPerRequest.limit - clamp.inputTokens);
  for (const [position, limit] of plan.limits.entries()) {
    const left = remaining[position] ?? 0;
    if (limit.measure === 'tokens') output = Math.min(output, left - clamp.inputTokens);
    if (limit.measure === 'budget' && clamp.outputPicoUsdPerToken > 0) {
      const leftNanoUsd = left - clamp.inputCostNanoUsd;
      output = Math.min(output, Math.floor((leftNanoUsd * 1000) / clamp.outputPicoUsdPerToken));
    }
  }
  return output < clamp.minOutputTokens ? Math.min(clamp.minOutputTokens, clamp.maxOutputTokens) : output;
}

function clampedAmounts(clamp: Clamp, outputTokens: number): Amounts {
  return {
    tokens: clamp.inputTokens + outputTokens,
    costNanoUsd: clamp.inputCostNanoUsd + Math.ceil((outputTokens * clamp.outputPicoUsdPerToken) / 1000),
  };
}

function notNegative(amount: number): number {
  return Math.max(0, amount);
}
