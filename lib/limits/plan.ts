import { matchesPattern } from '../pattern.ts';
import { type Period, periodAt } from './budget-period.ts';
import type { AdmissionPlan, BudgetDuration, Limits, PlannedLimit, PlannedScope, ScopeId, Take } from './limit.ts';

const minuteMs = 60_000;
const dayMs = 86_400_000;

/** A scope with the record that limits it. */
export interface LimitedScope {
  readonly scopeId: ScopeId;
  /** 0: there is no record, and a newer one makes the plan stale. */
  readonly revision: number;
  readonly limits: Limits | null;
  /** Where periods counted by length begin: the creation of the key or of the policy. */
  readonly anchorMs: number;
  /** `false` counts requests, tokens and concurrency without refusing. */
  readonly rateLimitEnabled: boolean;
}

/** A budget of a key or policy, with the name of its counter. */
export interface NamedBudget {
  readonly id: string;
  readonly name: string;
  readonly model: string | null;
  readonly limit: number | null;
  readonly duration: BudgetDuration;
}

/** All budgets of a scope. The first one of a key counts its spend, with or without a limit. */
export function budgetsOf(limits: Limits): readonly NamedBudget[] {
  const duration = limits.budgetDuration ?? 'total';
  return [
    { id: 'main', name: `${duration}_budget`, model: null, limit: limits.maxBudgetNanoUsd, duration },
    ...limits.budgets.map((budget) => ({
      id: `extra/${budget.budgetDuration}`,
      name: `${budget.budgetDuration}_budget`,
      model: null,
      limit: budget.maxBudgetNanoUsd,
      duration: budget.budgetDuration,
    })),
    ...limits.modelLimits.flatMap(({ model, maxBudget }) =>
      maxBudget === null
        ? []
        : [
            {
              id: `budget/${model}`,
              name: 'model_budget',
              model,
              limit: maxBudget.maxBudgetNanoUsd,
              duration: maxBudget.budgetDuration,
            },
          ],
    ),
  ];
}

/** Whether the spending of a budget is counted: against its limit, for its soft budget, or as the spend of a key. */
export function isCounted(scopeId: ScopeId, limits: Limits, { id, limit }: NamedBudget): boolean {
  if (limit !== null) return true;
  return id === 'main' && (scopeId.startsWith('key:') || limits.softBudgetNanoUsd !== null);
}

/**
 * Everything a request for this model is held against, over all scopes. A request without a model takes no tokens and
 * no money.
 */
export function createPlan(scopes: readonly LimitedScope[], model: string | null, nowMs: number): AdmissionPlan {
  const applies = (pattern: string) => model !== null && matchesPattern(pattern, model);
  const limits = scopes.flatMap((scope, at) => [...plannedLimits(scope, at, model !== null, applies, nowMs)]);
  const budgets = limits.filter((limit) => limit.measure === 'budget');
  return {
    scopes: scopes.map(({ scopeId, revision }): PlannedScope => ({ scopeId, revision })),
    limits,
    takes: limits.map(takeOf),
    maxTokensPerRequest: model === null ? null : tokensPerRequest(scopes),
    validFromMs: Math.max(0, ...budgets.map((budget) => budget.periodStartMs)),
    validUntilMs: Math.min(Number.MAX_SAFE_INTEGER, ...budgets.map(({ periodEndMs }) => periodEndMs ?? Infinity)),
  };
}

/** Every limit that a scope has, whatever the model. */
export function limitsOf(scope: LimitedScope, scopeIndex: number, nowMs: number): readonly PlannedLimit[] {
  return [...plannedLimits(scope, scopeIndex, true, () => true, nowMs)];
}

/** The period of a budget at this moment, for a scope with this anchor. */
export function budgetPeriod(budget: NamedBudget, anchorMs: number, nowMs: number): Period {
  return periodAt(budget.duration, anchorMs, nowMs);
}

function* plannedLimits(
  scope: LimitedScope,
  scopeIndex: number,
  namesModel: boolean,
  applies: (pattern: string) => boolean,
  nowMs: number,
): Generator<PlannedLimit> {
  const { limits, scopeId } = scope;
  if (limits === null) return;
  const base = { scopeId, scopeIndex, model: null };
  const enforced = (limit: number | null) => (scope.rateLimitEnabled ? limit : null);
  const window = (measure: 'requests' | 'tokens', name: 'rpm' | 'rpd' | 'tpm' | 'tpd', limit: number) =>
    ({
      ...base,
      id: name,
      name,
      measure,
      windowMs: name.endsWith('m') ? minuteMs : dayMs,
      limit: enforced(limit),
    }) as const;

  if (limits.rpmLimit !== null) yield window('requests', 'rpm', limits.rpmLimit);
  if (limits.rpdLimit !== null) yield window('requests', 'rpd', limits.rpdLimit);
  const ofModel = limits.modelLimits.filter(({ model }) => applies(model));
  for (const { model: pattern, rpmLimit } of ofModel) {
    if (rpmLimit !== null) yield perModel(window('requests', 'rpm', rpmLimit), pattern);
  }
  if (namesModel) {
    if (limits.tpmLimit !== null) yield window('tokens', 'tpm', limits.tpmLimit);
    if (limits.tpdLimit !== null) yield window('tokens', 'tpd', limits.tpdLimit);
    for (const { model: pattern, tpmLimit } of ofModel) {
      if (tpmLimit !== null) yield perModel(window('tokens', 'tpm', tpmLimit), pattern);
    }
  }
  const isKey = scopeId.startsWith('key:');
  if (isKey || limits.maxParallelRequests !== null) {
    yield {
      ...base,
      id: 'parallel',
      name: 'parallel',
      measure: 'concurrency',
      limit: enforced(limits.maxParallelRequests),
    };
  }
  if (!namesModel) return;
  for (const budget of budgetsOf(limits)) {
    if (!isCounted(scopeId, limits, budget)) continue;
    if (budget.model !== null && !applies(budget.model)) continue;
    const period = budgetPeriod(budget, scope.anchorMs, nowMs);
    yield {
      ...base,
      id: budget.id,
      name: budget.name,
      model: budget.model,
      measure: 'budget',
      limit: budget.limit,
      periodStartMs: period.startMs,
      periodEndMs: period.endMs,
    };
  }
}

function perModel<L extends { readonly id: string; readonly name: string }>(limit: L, pattern: string) {
  return { ...limit, id: `${limit.id}/${pattern}`, name: `model_${limit.name}`, model: pattern };
}

function takeOf(limit: PlannedLimit): Take {
  return {
    scopeId: limit.scopeId,
    id: limit.id,
    measure: limit.measure,
    windowMs: 'windowMs' in limit ? limit.windowMs : 0,
    periodStartMs: 'periodStartMs' in limit ? limit.periodStartMs : 0,
  };
}

function tokensPerRequest(scopes: readonly LimitedScope[]): AdmissionPlan['maxTokensPerRequest'] {
  let smallest: AdmissionPlan['maxTokensPerRequest'] = null;
  for (const [scopeIndex, { limits }] of scopes.entries()) {
    const limit = limits?.maxTokensPerRequest ?? null;
    if (limit !== null && (smallest === null || limit < smallest.limit)) smallest = { limit, scopeIndex };
  }
  return smallest;
}
