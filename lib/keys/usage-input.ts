import { InvalidRequestError, type Problem } from '../errors.ts';
import { unknownField } from '../options.ts';
import type { Hold } from '../stores/store.ts';
import { isAmountUsd, maxAmountUsd, nanoUsd } from '../usage/money.ts';
import { isTokenUsage, maxTokenCount, type TokenUsage } from '../usage/usage.ts';

/** Usage as handlers report it. `inputTokens` includes what was read from and written to a cache. */
export interface UsageInput {
  readonly model?: string | null | undefined;
  readonly inputTokens?: number | undefined;
  readonly outputTokens?: number | undefined;
  readonly cacheReadTokens?: number | undefined;
  readonly cacheWriteTokens?: number | undefined;
  /** The true cost, where the caller knows it; absent: by the price book. */
  readonly costUsd?: number | undefined;
}

export interface ParsedUsage {
  readonly usage: TokenUsage;
  readonly model: string | null;
  readonly costNanoUsd: number | null;
}

const usageFields = ['model', 'inputTokens', 'outputTokens', 'cacheReadTokens', 'cacheWriteTokens', 'costUsd'];
const maxNameLength = 256;
/** Unknown fields that are told of. */
const maxUnknown = 100;

/** @throws InvalidRequestError naming every count, cost or name that cannot be true, and every field that is not known */
export function parseUsage(input: UsageInput): ParsedUsage {
  if (typeof input !== 'object' || input === null) {
    throw new InvalidRequestError([
      { field: 'usage', message: 'must be an object such as { inputTokens, outputTokens }' },
    ]);
  }
  const { model = null, inputTokens = 0, outputTokens = 0, cacheReadTokens = 0, cacheWriteTokens = 0, costUsd } = input;
  const usage = { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens };
  // A misnamed count would pass for 0.
  const problems: Problem[] = [...problemsOfFields(input, usageFields)];
  for (const [field, count] of Object.entries(usage)) {
    if (!Number.isInteger(count) || count < 0 || count > maxTokenCount) {
      problems.push({ field, message: `must be a whole number from 0 to ${maxTokenCount}` });
    }
  }
  if (problems.length === 0 && !isTokenUsage(usage)) {
    problems.push({ field: 'inputTokens', message: 'must include the tokens read from and written to a cache' });
  }
  problems.push(...problemsOfCost(costUsd), ...problemsOfName('model', model));
  if (problems.length > 0) throw new InvalidRequestError(problems);
  return { usage, model, costNanoUsd: costUsd === undefined ? null : nanoUsd(costUsd) };
}

/** Names every field that an input does not have. */
export function problemsOfFields(input: object, names: readonly string[]): readonly Problem[] {
  const unknown = Object.keys(input).filter((field) => !names.includes(field));
  return unknown.slice(0, maxUnknown).map((field) => ({ field, message: unknownField(field, names) }));
}

export function problemsOfCost(costUsd: number | undefined): readonly Problem[] {
  if (costUsd === undefined || isAmountUsd(costUsd)) return [];
  return [{ field: 'costUsd', message: `must be an amount in USD from 0 to ${maxAmountUsd}` }];
}

export function problemsOfName(field: string, name: string | null): readonly Problem[] {
  if (name === null || isName(name)) return [];
  return [{ field, message: `must be 1 to ${maxNameLength} printable characters` }];
}

function isName(name: unknown): boolean {
  // No store keeps half of a surrogate pair: two such names would become one.
  return typeof name === 'string' && name.length > 0 && name.length <= maxNameLength && !/[\p{Cc}\p{Cs}]/u.test(name);
}

/** @throws InvalidRequestError when this is not a hold that `admit` or `extend` gave */
export function parseHold(value: unknown): Hold {
  if (typeof value === 'object' && value !== null) {
    const { holdId, callId, takes, subject, amounts, atMs, leaseMs } = value as Partial<Hold>;
    const isHold =
      typeof holdId === 'string' &&
      typeof callId === 'string' &&
      Array.isArray(takes) &&
      typeof subject?.keyId === 'string' &&
      typeof amounts?.tokens === 'number' &&
      typeof amounts.costNanoUsd === 'number' &&
      typeof atMs === 'number' &&
      typeof leaseMs === 'number';
    if (isHold) return value as Hold;
  }
  throw new InvalidRequestError([{ field: 'hold', message: 'must be a hold that admit or extend gave' }]);
}
