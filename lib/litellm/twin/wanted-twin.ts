import type { BudgetInput } from '../../keys/key-input.ts';
import type { KeySettings } from '../../keys/shown-key.ts';
import type { KeyStatus } from '../../keys/virtual-key.ts';
import { twinPeriod } from './budget-duration.ts';
import { type EveryModel, twinModelLimits, twinModels } from './model-names.ts';

/** A key as its twin is made after it. */
export interface TwinSource {
  readonly key: KeySettings;
  readonly status: KeyStatus;
  /** The secret is good until then at most: a grace ends. */
  readonly endsAtMs: number | null;
}

export interface TwinOptions {
  readonly deploymentId: string;
  /** `ours`: LiteLLM holds no limits, since all calls pass through us. */
  readonly limits: 'twin' | 'ours';
  /** Whether LiteLLM may hold budgets per model, which only its Enterprise edition does. */
  readonly isEnterprise: boolean;
  readonly models: EveryModel;
  /** The models that LiteLLM serves. */
  readonly served: readonly string[];
  /** Names that mean several models there. */
  readonly groups: readonly string[];
  readonly nowMs: number;
}

/** What LiteLLM is to hold of a key, under LiteLLM's names; `null` is unlimited. */
export interface WantedTwin {
  readonly models: readonly string[];
  readonly blocked: boolean;
  readonly user_id: string | null;
  readonly team_id: string | null;
  readonly max_budget: number | null;
  readonly budget_duration: string | null;
  readonly rpm_limit: number | null;
  readonly tpm_limit: number | null;
  readonly max_parallel_requests: number | null;
  readonly model_rpm_limit: { readonly [model: string]: number };
  readonly model_tpm_limit: { readonly [model: string]: number };
  readonly model_max_budget: { readonly [model: string]: { budget_limit: number; time_period: string | null } };
  /** `null`: never. */
  readonly expiresAtMs: number | null;
  /** Whether its end has come. */
  readonly isOver: boolean;
  readonly mark: TwinMark;
  /** What LiteLLM does not hold, or holds differently, in words. */
  readonly warnings: readonly string[];
}

/** Stands in a twin's metadata, so that it is found again, and told from those of others. */
export interface TwinMark {
  readonly key_id: string;
  readonly deployment_id: string;
}

/** Under this name. */
export const markName = 'express_llm_keys';

/** LiteLLM keeps it in 32 bits. */
export const maxParallelAtMost = 2_147_483_647;
/** LiteLLM counts whole seconds: a twin that has less left is closed at once. */
const leastLifeMs = 2000;

/**
 * The twin of a key. What LiteLLM would misread is translated: no model is a blocked twin, and never an empty list.
 */
export function wantedTwin({ key, status, endsAtMs }: TwinSource, options: TwinOptions): WantedTwin {
  const { models, unmatched } = twinModels(key.models, options);
  const isWithoutModel = key.models.length === 0 || unmatched.length === key.models.length;
  const expiresAtMs = earliest(key.expiresAt === null ? null : Date.parse(key.expiresAt), endsAtMs);
  const isOver = expiresAtMs !== null && expiresAtMs - options.nowMs < leastLifeMs;
  const common = {
    models,
    blocked: isWithoutModel || status !== 'active' || isOver,
    user_id: key.ownerId,
    team_id: key.teamId,
    expiresAtMs,
    isOver,
    mark: { key_id: key.id, deployment_id: options.deploymentId },
  };
  const warnings = unmatched.map((pattern) => `No model of LiteLLM matches ${pattern}`);
  if (options.limits === 'ours') return { ...common, ...withoutLimits, warnings };
  const { warnings: ofLimits, ...limits } = twinLimits(key, options);
  return { ...common, ...limits, warnings: [...warnings, ...ofLimits, ...heldHereOnly(key)] };
}

const withoutLimits = {
  max_budget: null,
  budget_duration: null,
  rpm_limit: null,
  tpm_limit: null,
  max_parallel_requests: null,
  model_rpm_limit: {},
  model_tpm_limit: {},
  model_max_budget: {},
};

/** The budget that LiteLLM holds, and whose periods count there. */
export function twinBudget(key: KeySettings): BudgetInput | undefined {
  const { maxBudget, budgetDuration } = key;
  return maxBudget === null ? key.budgets[0] : { maxBudget, budgetDuration: budgetDuration ?? 'total' };
}

function twinLimits(key: KeySettings, { served, isEnterprise }: TwinOptions) {
  const warnings: string[] = [];
  const budget = twinBudget(key);
  const period = twinPeriod(budget?.budgetDuration ?? null);
  if (!period.isSame) {
    warnings.push(`The budget's period of ${budget?.budgetDuration} is kept here; LiteLLM's follows the calendar`);
  }
  if (key.budgets.some((other) => other !== budget))
    warnings.push('LiteLLM holds the first budget; the others are held here');
  const modelBudgets = Object.entries(key.modelMaxBudget);
  if (modelBudgets.length > 0 && !isEnterprise) warnings.push('modelMaxBudget is held by LiteLLM Enterprise alone');
  const unlimited = key.rateLimitEnabled ? {} : { rpm_limit: null, tpm_limit: null, max_parallel_requests: null };
  return {
    max_budget: budget?.maxBudget ?? null,
    budget_duration: period.duration,
    rpm_limit: key.rpmLimit,
    tpm_limit: key.tpmLimit,
    max_parallel_requests: key.maxParallelRequests && Math.min(key.maxParallelRequests, maxParallelAtMost),
    ...unlimited,
    model_rpm_limit: key.rateLimitEnabled ? twinModelLimits(key.modelRpmLimit, served) : {},
    model_tpm_limit: key.rateLimitEnabled ? twinModelLimits(key.modelTpmLimit, served) : {},
    model_max_budget: Object.fromEntries(
      (isEnterprise ? modelBudgets : []).map(([model, { maxBudget, budgetDuration }]) => [
        model,
        { budget_limit: maxBudget, time_period: twinPeriod(budgetDuration).duration },
      ]),
    ),
    warnings,
  };
}

/** Limits that LiteLLM has no field for. */
function heldHereOnly(key: KeySettings): readonly string[] {
  const { allowChatCompletions, allowEmbeddings, allowCompletions } = key.permissions;
  const names = [
    ...(key.softBudget === null ? [] : ['softBudget']),
    ...(key.rpdLimit === null ? [] : ['rpdLimit']),
    ...(key.tpdLimit === null ? [] : ['tpdLimit']),
    ...(key.maxTokensPerRequest === null ? [] : ['maxTokensPerRequest']),
    ...(key.endpoints === null ? [] : ['endpoints']),
    ...(key.allowedIps === null ? [] : ['allowedIps']),
    ...(allowChatCompletions && allowEmbeddings && allowCompletions ? [] : ['permissions']),
  ];
  return names.length === 0 ? [] : [`LiteLLM does not hold ${names.join(', ')}`];
}

function earliest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}
