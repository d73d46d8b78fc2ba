import { type ScopeId, type ScopeKind, scopeKind } from '../limits/limit.ts';
import type { AlertedBudget, AlertRow, AlertType } from '../stores/store.ts';
import { usd } from '../usage/money.ts';

const types: { readonly [type in AlertType]: true } = {
  'budget.warning': true,
  'budget.exceeded': true,
  'hold.abandoned': true,
  'hold.lost': true,
  'usage.unpriced': true,
};

export const alertTypes: readonly string[] = Object.keys(types);

export function isAlertType(type: unknown): type is AlertType {
  return typeof type === 'string' && Object.hasOwn(types, type);
}

/** A budget as it stood when it reached a threshold; money in USD. */
export interface ShownAlertedBudget {
  /** As refusals name it: `monthly_budget`, `model_budget`, … */
  readonly name: string;
  /** `null`: it has a soft budget alone. */
  readonly maxBudget: number | null;
  /** The amount that was reached. */
  readonly threshold: number;
  /** 80, 90, 95 or 100 of the limit; `null`: the threshold is the soft budget. */
  readonly percent: number | null;
  readonly spend: number;
  readonly resetAt: string | null;
}

/** Something that an operator should know of, as lists, listeners and webhooks are told. */
export interface ShownAlert {
  /** The same wherever it is told, and however often. */
  readonly id: string;
  readonly type: AlertType;
  readonly at: string;
  readonly scope: ScopeKind;
  /** Where it is: `key:<id>`, `user:<id>`, `team:<id>` or `global`. */
  readonly target: ScopeId;
  readonly ownerId: string | null;
  readonly teamId: string | null;
  /** The key whose call brought it about. */
  readonly keyId: string;
  /** The model of the call, or the pattern of the budget. */
  readonly model: string | null;
  /** `null`: it is about no budget. */
  readonly budget: ShownAlertedBudget | null;
}

export function showAlert({ scopeId, atMs, budget, ...shown }: AlertRow): ShownAlert {
  return {
    ...shown,
    at: new Date(atMs).toISOString(),
    scope: scopeKind(scopeId),
    target: scopeId,
    budget: budget === null ? null : showBudget(budget),
  };
}

function showBudget(budget: AlertedBudget): ShownAlertedBudget {
  const { name, limitNanoUsd, thresholdNanoUsd, percent, spentNanoUsd, resetAtMs } = budget;
  return {
    name,
    maxBudget: limitNanoUsd === null ? null : usd(limitNanoUsd),
    threshold: usd(thresholdNanoUsd),
    percent,
    spend: usd(spentNanoUsd),
    resetAt: resetAtMs === null ? null : new Date(resetAtMs).toISOString(),
  };
}
