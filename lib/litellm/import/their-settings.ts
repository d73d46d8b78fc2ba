import Joi from 'joi';
import type { BudgetInput, KeyInput } from '../../keys/key-input.ts';
import { isBudgetDuration } from '../../limits/budget-period.ts';
import type { LiteLLMKey } from '../client/replies.ts';
import { noModels } from '../twin/model-names.ts';

/** What a key of LiteLLM may do, in the words of ours. */
export type TheirSettings = Pick<
  KeyInput,
  | 'models'
  | 'ownerId'
  | 'teamId'
  | 'maxBudget'
  | 'budgetDuration'
  | 'rpmLimit'
  | 'tpmLimit'
  | 'tpdLimit'
  | 'maxParallelRequests'
  | 'modelRpmLimit'
  | 'modelTpmLimit'
  | 'modelMaxBudget'
  | 'expiresAt'
>;

/** Periods of LiteLLM that begin and end with the calendar, whatever their form. */
const calendar: { readonly [period: string]: string } = {
  '1h': 'hourly',
  '24h': 'daily',
  '1d': 'daily',
  '7d': 'weekly',
  '1w': 'weekly',
  '30d': 'monthly',
  '1mo': 'monthly',
};

const everyModel = 'all-proxy-models';
const modelsOfTeam = 'all-team-models';
/** Routes of models, all that a key is for. */
const modelRoutes: ReadonlySet<string> = new Set(['llm_api_routes']);

const counts = Joi.object().pattern(Joi.string(), Joi.number()).default({});
const modelBudgets = Joi.object()
  .pattern(
    Joi.string(),
    Joi.object({ budget_limit: Joi.number().required(), time_period: Joi.string().allow(null) }).unknown(),
  )
  .default({});

/** What LiteLLM holds of a key, or why there is nothing like it here, in words that go on from "the key". */
export function readSettings(theirs: LiteLLMKey): { readonly settings: TheirSettings } | { readonly reason: string } {
  const { models, budget_duration, metadata } = theirs;
  if (models.includes(modelsOfTeam)) return { reason: 'has the models of its team' };
  if (!theirs.allowed_routes.every((route) => modelRoutes.has(route))) return { reason: 'is limited to some routes' };
  if (theirs.budget_limits.length > 0) return { reason: 'has several budgets' };
  if (hasLimits(theirs.litellm_budget_table)) return { reason: 'has the limits of a shared budget' };
  const budgetDuration = readPeriod(budget_duration);
  if (budgetDuration === undefined) return { reason: `has a budget of an unknown period: ${budget_duration}` };
  const perModel = {
    modelRpmLimit: counts.validate(metadata.model_rpm_limit ?? {}),
    modelTpmLimit: counts.validate(metadata.model_tpm_limit ?? {}),
  };
  const modelMaxBudget = readModelBudgets(theirs.model_max_budget);
  if (perModel.modelRpmLimit.error || perModel.modelTpmLimit.error || modelMaxBudget === undefined) {
    return { reason: 'has limits per model that cannot be read' };
  }
  return {
    settings: {
      models: readModels(models),
      ownerId: theirs.user_id,
      teamId: theirs.team_id,
      maxBudget: theirs.max_budget,
      budgetDuration,
      rpmLimit: theirs.rpm_limit,
      tpmLimit: theirs.tpm_limit,
      tpdLimit: theirs.tpd_limit,
      maxParallelRequests: theirs.max_parallel_requests,
      modelRpmLimit: perModel.modelRpmLimit.value,
      modelTpmLimit: perModel.modelTpmLimit.value,
      modelMaxBudget,
      expiresAt: theirs.expires === null ? null : Date.parse(theirs.expires),
    },
  };
}

/** An empty list is every model there, and none here. */
function readModels(models: readonly string[]): readonly string[] {
  if (models.length === 0 || models.includes(everyModel)) return ['*'];
  return models.filter((name) => !noModels.includes(name));
}

/** `undefined`: no period that is known here. */
function readPeriod(period: string | null): string | null | undefined {
  if (period === null) return null;
  const known = calendar[period] ?? period;
  return isBudgetDuration(known) ? known : undefined;
}

function readModelBudgets(given: unknown): { readonly [model: string]: BudgetInput } | undefined {
  const { error, value } = modelBudgets.validate(given);
  if (error !== undefined) return undefined;
  const budgets: [string, BudgetInput][] = [];
  for (const [model, { budget_limit, time_period }] of Object.entries<BudgetOfModel>(value)) {
    const budgetDuration = readPeriod(time_period ?? null);
    if (budgetDuration === undefined) return undefined;
    budgets.push([model, { maxBudget: budget_limit, budgetDuration: budgetDuration ?? 'total' }]);
  }
  return Object.fromEntries(budgets);
}

interface BudgetOfModel {
  readonly budget_limit: number;
  readonly time_period?: string | null;
}

/** A soft budget has such a table too, which limits nothing. */
function hasLimits(table: LiteLLMKey['litellm_budget_table']): boolean {
  const names = ['max_budget', 'tpm_limit', 'rpm_limit', 'max_parallel_requests', 'model_max_budget'];
  return names.some((name) => {
    const limit = table[name];
    return typeof limit === 'object' && limit !== null ? Object.keys(limit).length > 0 : (limit ?? null) !== null;
  });
}
