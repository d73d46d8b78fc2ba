/**
 * What may be limited, where, and how a judged request carries its limits to the ledger.
 * Limit `0` blocks, `null` is unlimited.
 */

/** Where a limit applies. Every scope that matches a request is decided together. */
export type Scope = { readonly key: string } | { readonly user: string } | { readonly team: string } | 'global';

/** The kind of a scope alone, as refusals name it. */
export type ScopeKind = 'key' | 'user' | 'team' | 'global';

/** A scope's name in the ledger: `key:<id>`, `user:<id>`, `team:<id>` or `global`. */
export type ScopeId = 'global' | `${'key' | 'user' | 'team'}:${string}`;

export function scopeId(scope: Scope): ScopeId {
  if (scope === 'global') return 'global';
  if ('key' in scope) return `key:${scope.key}`;
  return 'user' in scope ? `user:${scope.user}` : `team:${scope.team}`;
}

export function scopeKind(id: ScopeId): ScopeKind {
  return id.slice(0, id === 'global' ? undefined : id.indexOf(':')) as ScopeKind;
}

/**
 * The length of a budget's period: a calendar word (UTC, weeks from Monday), or a length counted from the anchor
 * such as `90s`, `15m`, `12h`, `30d`, `1mo`.
 */
export type BudgetDuration = string;

/** An amount of money per period. */
export interface Budget {
  readonly maxBudgetNanoUsd: number;
  readonly budgetDuration: BudgetDuration;
}

/** Limits of one model, or of all models that match a pattern, inside a scope. */
export interface ModelLimit {
  /** Exact name, `prefix*` or `*`. */
  readonly model: string;
  readonly rpmLimit: number | null;
  readonly tpmLimit: number | null;
  readonly maxBudget: Budget | null;
}

/** The limits that a key or a policy carries. */
export interface Limits {
  /** Requests in any 60 seconds. */
  readonly rpmLimit: number | null;
  /** Tokens in any 60 seconds. */
  readonly tpmLimit: number | null;
  /** Requests in any 24 hours. */
  readonly rpdLimit: number | null;
  /** Tokens in any 24 hours. */
  readonly tpdLimit: number | null;
  readonly maxParallelRequests: number | null;
  readonly maxTokensPerRequest: number | null;
  readonly maxBudgetNanoUsd: number | null;
  readonly softBudgetNanoUsd: number | null;
  /** Period of `maxBudgetNanoUsd`, and of the spend shown; `null` counts the whole life. */
  readonly budgetDuration: BudgetDuration | null;
  readonly budgets: readonly Budget[];
  readonly modelLimits: readonly ModelLimit[];
}

/** Everything is unlimited. */
export const noLimits: Limits = {
  rpmLimit: null,
  tpmLimit: null,
  rpdLimit: null,
  tpdLimit: null,
  maxParallelRequests: null,
  maxTokensPerRequest: null,
  maxBudgetNanoUsd: null,
  softBudgetNanoUsd: null,
  budgetDuration: null,
  budgets: [],
  modelLimits: [],
};

/** What a limit of a plan measures. */
export type Measure = 'requests' | 'tokens' | 'concurrency' | 'budget';

interface PlannedLimitBase {
  readonly scopeId: ScopeId;
  /** Position of the scope in {@link AdmissionPlan.scopes}. */
  readonly scopeIndex: number;
  /** Name of the counter inside the scope: `rpm`, `tpd`, `main`, `rpm/gpt-4o*`, … */
  readonly id: string;
  /** As refusals name it: `rpm`, `monthly_budget`, `model_tpm`, … */
  readonly name: string;
  /** The pattern of a limit per model. */
  readonly model: string | null;
}

/** At most `limit` requests or tokens in any `windowMs`. `null` counts without refusing. */
export interface PlannedWindow extends PlannedLimitBase {
  readonly measure: 'requests' | 'tokens';
  readonly windowMs: number;
  readonly limit: number | null;
}

/** At most `limit` holds open at once. `null` counts without refusing. */
export interface PlannedConcurrency extends PlannedLimitBase {
  readonly measure: 'concurrency';
  readonly limit: number | null;
}

/** At most `limit` nano-dollars spent and held in the period. `null` counts without refusing. */
export interface PlannedBudget extends PlannedLimitBase {
  readonly measure: 'budget';
  readonly limit: number | null;
  readonly periodStartMs: number;
  /** First millisecond after the period; `null` for a budget without end. */
  readonly periodEndMs: number | null;
}

export type PlannedLimit = PlannedWindow | PlannedConcurrency | PlannedBudget;

/** What a call takes from one limit: where it is given back, or corrected. */
export interface Take {
  readonly scopeId: ScopeId;
  readonly id: string;
  readonly measure: Measure;
  /** 0 except for windows. */
  readonly windowMs: number;
  /** 0 except for budgets. */
  readonly periodStartMs: number;
}

/** A scope of a plan, and the revision of the record under which the request was judged (0: there is no record). */
export interface PlannedScope {
  readonly scopeId: ScopeId;
  readonly revision: number;
}

/**
 * Everything the ledger must hold a kind of request against. Immutable; the service makes one for a key and a model and
 * uses it again until a record changes or a period ends, so a store may keep what it derives from a plan by its identity.
 */
export interface AdmissionPlan {
  readonly scopes: readonly PlannedScope[];
  readonly limits: readonly PlannedLimit[];
  /** What a call under this plan takes, by position of `limits`. */
  readonly takes: readonly Take[];
  /** Smallest `maxTokensPerRequest` of all scopes, and the position of its scope. */
  readonly maxTokensPerRequest: { readonly limit: number; readonly scopeIndex: number } | null;
  /** The plan is true for store times in `[validFromMs, validUntilMs)`: outside, a period of it is not the current one. */
  readonly validFromMs: number;
  readonly validUntilMs: number;
}

/** Tokens and money that a call may consume. */
export interface Amounts {
  readonly tokens: number;
  readonly costNanoUsd: number;
}

/** Lets the ledger lower the output to what every token limit and budget still affords, in the deciding act. */
export interface Clamp {
  /** Tokens and money that do not depend on the output. */
  readonly inputTokens: number;
  readonly inputCostNanoUsd: number;
  /** Pico-dollars (10⁻¹²) of one output token; 0 where no price is known. */
  readonly outputPicoUsdPerToken: number;
  readonly minOutputTokens: number;
  readonly maxOutputTokens: number;
}

/** A counter that takes over what another counted: the budget's period was changed, its money was not. */
export interface BudgetCarry {
  readonly budgetId: string;
  /** `null`: the counter is new, and opens with `openingNanoUsd` alone. */
  readonly from: { readonly budgetId: string; readonly periodStartMs: number } | null;
  readonly periodStartMs: number;
  readonly periodEndMs: number | null;
  /** What the usage record says was spent in the new period. The counter opens with the larger of the two. */
  readonly openingNanoUsd: number;
}
