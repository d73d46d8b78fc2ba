import { type Problem, QuotaLimitsExceededError } from '../errors.ts';
import { rateLimitPresets } from '../limits/presets.ts';
import { usd } from '../usage/money.ts';
import { copyInput } from './input-copy.ts';
import { dayMs } from './input-edits.ts';
import type { KeyFields } from './key-fields.ts';
import type { KeyDefaults, KeyMaximums, Quotas } from './key-input.ts';

export type { Quotas };

/** How much a key has of what a maximum bounds; `null` is without end. */
const amounts: { readonly [field in keyof KeyMaximums]-?: (key: KeyFields, nowMs: number) => number | null } = {
  rpmLimit: (key) => enforced(key, key.rpmLimit),
  tpmLimit: (key) => enforced(key, key.tpmLimit),
  rpdLimit: (key) => enforced(key, key.rpdLimit),
  tpdLimit: (key) => enforced(key, key.tpdLimit),
  maxParallelRequests: (key) => enforced(key, key.maxParallelRequests),
  maxTokensPerRequest: (key) => key.maxTokensPerRequest,
  maxBudget: (key) => key.maxBudgetNanoUsd && usd(key.maxBudgetNanoUsd),
  expiresInDays: (key, nowMs) => key.expiresAtMs && (key.expiresAtMs - nowMs) / dayMs,
};

/** A key that is counted and never refused has no limit. */
function enforced({ rateLimitEnabled }: KeyFields, limit: number | null): number | null {
  return rateLimitEnabled ? limit : null;
}

const boundedFields = Object.keys(amounts) as readonly (keyof KeyMaximums)[];

/** What is in force: a stored default takes the place of the option's, and of two maximums the smaller one holds. */
export function effectiveQuotas(options: Quotas, stored: Quotas): Quotas {
  const maximums = boundedFields.flatMap((field) => {
    const most = Math.min(options.maximums[field] ?? Infinity, stored.maximums[field] ?? Infinity);
    return most === Infinity ? [] : [[field, most] as const];
  });
  return { defaults: { ...options.defaults, ...stored.defaults }, maximums: Object.fromEntries(maximums) };
}

const presetFields = Object.keys(rateLimitPresets.standard);

function isSaid(input: object, field: string): boolean {
  const value = (input as { readonly [field: string]: unknown })[field];
  return value !== undefined && value !== null;
}

/**
 * Fills what an input for a new key leaves out. `0` and `null` are said, and stay. An input that cannot be read comes
 * back as it is, to be refused by the check that follows.
 */
export function applyDefaults(input: unknown, defaults: KeyDefaults): unknown {
  const copied = copyInput(input);
  if (copied.outcome === 'refused') return input;
  const said = copied.copy;
  if (typeof said !== 'object' || said === null || Array.isArray(said)) return input;
  const filled = Object.assign(Object.create(null), defaults, said);
  // A preset that the input names is nearer than a default, and fills what the input leaves out by itself.
  if (isSaid(said, 'rateLimitPreset')) for (const field of presetFields) if (!(field in said)) delete filled[field];
  if ('expiresAt' in said && !('expiresInDays' in said)) delete filled.expiresInDays;
  return filled;
}

/**
 * Checks a key against the maximums; with the key as it was before a change, only what the change loosens.
 *
 * @throws QuotaLimitsExceededError with every violation
 */
export function checkMaximums(key: KeyFields, maximums: KeyMaximums, nowMs: number, before?: KeyFields): void {
  refuse(
    boundedFields.flatMap((field) => {
      const amount = amounts[field](key, nowMs) ?? Infinity;
      const stood = before === undefined ? -Infinity : (amounts[field](before, nowMs) ?? Infinity);
      return amount > stood ? violations(field, amount, maximums[field]) : [];
    }),
  );
}

/** @throws QuotaLimitsExceededError when a default passes its maximum: every key made of it would be refused */
export function checkDefaults({ defaults, maximums }: Quotas): void {
  refuse(
    boundedFields.flatMap((field) => {
      const value = defaults[field];
      return value === undefined ? [] : violations(field, value ?? Infinity, maximums[field]);
    }),
  );
}

function violations(field: keyof KeyMaximums, amount: number, maximum: number | undefined): readonly Problem[] {
  if (maximum === undefined || amount <= maximum) return [];
  const shown = field === 'expiresInDays' ? Math.ceil(amount) : amount;
  return [{ field, message: `${shown === Infinity ? 'unlimited' : shown} exceeds maximum ${maximum}` }];
}

function refuse(problems: readonly Problem[]): void {
  if (problems.length > 0) throw new QuotaLimitsExceededError(problems);
}
