import { isDeepStrictEqual } from 'node:util';
import { type KeyFields, modelLimitMaps } from '../../keys/key-fields.ts';
import type { ModelLimit } from '../../limits/limit.ts';
import { matchesPattern } from '../../pattern.ts';

/** Whether a field may be changed, by what it was and would be. */
type FieldRule<F> = 'free' | 'never' | ((before: F, after: F) => boolean);
export type FieldRules = { readonly [field in keyof KeyFields]: FieldRule<KeyFields[field]> };

/** Users may only tighten. Every field of a key stands here, so that a new one must be thought about. */
export const tightening: FieldRules = {
  name: 'free',
  tags: 'free',
  models: narrows,
  endpoints: (before, after) => before === null || (after !== null && narrows(before, after)),
  permissions: (before, after) => Object.entries(after).every(([kind, allowed]) => !allowed || isAllowed(before, kind)),
  rpmLimit: lowers,
  tpmLimit: lowers,
  rpdLimit: lowers,
  tpdLimit: lowers,
  maxParallelRequests: lowers,
  maxTokensPerRequest: lowers,
  modelLimits: tightensModels,
  expiresAtMs: lowers,
  rateLimitEnabled: (_before, after) => after,
  // The limits that come with it are judged one by one.
  rateLimitPreset: 'free',
  allowedIps: (before, after) =>
    after !== null && (before === null || after.every((network) => before.includes(network))),
  maxBudgetNanoUsd: 'never',
  softBudgetNanoUsd: 'never',
  budgetDuration: 'never',
  budgets: 'never',
  ownerId: 'never',
  teamId: 'never',
  metadata: 'never',
};

/** The fields that a change may not change so, as input names them. */
export function refusedFields(rules: FieldRules, before: KeyFields, after: KeyFields): string[] {
  const fields = Object.keys(rules) as (keyof KeyFields)[];
  return fields.filter((field) => !isPermitted(rules, field, before, after)).map(givenName);
}

function isPermitted<F extends keyof KeyFields>(rules: FieldRules, field: F, before: KeyFields, after: KeyFields) {
  const rule: FieldRule<KeyFields[F]> = rules[field];
  if (rule === 'free' || isDeepStrictEqual(before[field], after[field])) return true;
  return rule !== 'never' && rule(before[field], after[field]);
}

/** A field as input names it. */
function givenName(field: keyof KeyFields): string {
  return field === 'modelLimits' ? 'modelRpmLimit, modelTpmLimit, modelMaxBudget' : field.replace(/NanoUsd$|Ms$/, '');
}

function isAllowed(permissions: KeyFields['permissions'], kind: string): boolean {
  return Object.entries(permissions).some(([name, allowed]) => name === kind && allowed);
}

function lowers(before: number | null, after: number | null): boolean {
  return after !== null && (before === null || after <= before);
}

/** A pattern is narrower when the wider one matches it as a text: `gpt-*` matches `gpt-4*`. */
function narrows(before: readonly string[], after: readonly string[]): boolean {
  return after.every((narrower) => before.some((wider) => matchesPattern(wider, narrower)));
}

function tightensModels(before: readonly ModelLimit[], after: readonly ModelLimit[]): boolean {
  const stood = modelLimitMaps(before);
  const next = modelLimitMaps(after);
  return (
    lowersAll(stood.modelRpmLimit, next.modelRpmLimit) &&
    lowersAll(stood.modelTpmLimit, next.modelTpmLimit) &&
    isDeepStrictEqual(stood.modelMaxBudget, next.modelMaxBudget)
  );
}

function lowersAll(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): boolean {
  return Array.from(before).every(([model, limit]) => (after.get(model) ?? Infinity) <= limit);
}
