import type { Budget, BudgetDuration, Limits } from '../limits/limit.ts';
import { rateLimitPresets } from '../limits/presets.ts';
import { nanoUsd } from '../usage/money.ts';
import { allPermissions, type Edits, type KeyEdits, type PolicyFields } from './key-fields.ts';
import type { BudgetInput, KeyPatch, LimitsInput, PolicyInput } from './key-input.ts';
import { readMoment } from './moment.ts';

export const dayMs = 86_400_000;
const lifetime: BudgetDuration = 'total';

/** The edits that a checked input of a key stands for: nano-dollars, epoch milliseconds, no `null` where a list belongs. */
export function keyEdits(input: KeyPatch, nowMs: number): KeyEdits {
  const { name, endpoints, ownerId, teamId, permissions, tags, metadata } = input;
  const { rateLimitEnabled, rateLimitPreset, allowedIps } = input;
  const models = input.models ?? input.modelIds;
  return given({
    ...(rateLimitPreset && rateLimitPresets[rateLimitPreset]),
    ...limitEdits(input),
    name,
    models: models && unique(models),
    endpoints,
    permissions: permissions === null ? allPermissions : permissions,
    ownerId,
    teamId,
    expiresAtMs: expiry(input, nowMs),
    rateLimitEnabled,
    rateLimitPreset,
    allowedIps: allowedIps && unique(allowedIps),
    tags: tags === null ? [] : tags && unique(tags),
    metadata: metadata === null ? {} : metadata,
  });
}

/** As {@link keyEdits}, for a policy. */
export function policyEdits(input: PolicyInput): Edits<PolicyFields> {
  const { models, endpoints } = input;
  return given({ ...limitEdits(input), models: models && unique(models), endpoints });
}

function limitEdits(input: LimitsInput): Edits<Limits> {
  const { rpmLimit, tpmLimit, rpdLimit, tpdLimit, maxParallelRequests, maxTokensPerRequest, budgetDuration } = input;
  return given({
    rpmLimit,
    tpmLimit,
    rpdLimit,
    tpdLimit,
    maxParallelRequests,
    maxTokensPerRequest,
    maxBudgetNanoUsd: input.maxBudget && nanoUsd(input.maxBudget),
    softBudgetNanoUsd: input.softBudget && nanoUsd(input.softBudget),
    budgetDuration,
    budgets: input.budgets === undefined ? undefined : (input.budgets ?? []).map(budgetOf),
    modelRpmLimit: mapOf(input.modelRpmLimit, Number),
    modelTpmLimit: mapOf(input.modelTpmLimit, Number),
    modelMaxBudget: mapOf(input.modelMaxBudget, budgetOf),
  });
}

function budgetOf(budget: number | BudgetInput): Budget {
  const { maxBudget, budgetDuration } =
    typeof budget === 'number' ? { maxBudget: budget, budgetDuration: lifetime } : budget;
  return { maxBudgetNanoUsd: nanoUsd(maxBudget), budgetDuration };
}

function mapOf<T, V>(
  values: { readonly [model: string]: T } | null | undefined,
  convert: (value: T) => V,
): ReadonlyMap<string, V> | undefined {
  if (values === undefined) return undefined;
  return new Map(Object.entries(values ?? {}).map(([model, value]) => [model, convert(value)]));
}

function expiry({ expiresAt, expiresInDays }: KeyPatch, nowMs: number): number | null | undefined {
  if (typeof expiresInDays === 'number') return nowMs + expiresInDays * dayMs;
  return expiresAt === null ? null : readMoment(expiresAt);
}

function unique(values: readonly string[]): readonly string[] {
  return [...new Set(values)];
}

/** The fields that have a value, `null` included. */
function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
