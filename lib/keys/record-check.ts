import { isBudgetDuration } from '../limits/budget-period.ts';
import type { Budget, Limits, ModelLimit } from '../limits/limit.ts';
import type { AlertRow } from '../stores/store.ts';
import { isNetwork } from './address.ts';
import { isAlertType } from './shown-alert.ts';
import type { PolicyRecord, VirtualKeyRecord } from './virtual-key.ts';

/**
 * Whether what a store gave is a key that can be judged. Records come from databases that people edit by hand: one that
 * is not whole denies, and never widens access.
 */
export function isKeyRecord(value: unknown): value is VirtualKeyRecord {
  if (!isObject(value)) return false;
  const { previousSecret, permissions, models, tags } = value;
  return (
    isLimits(value) &&
    [value.id, value.name, value.alias, value.secretHash, value.prefix].every(isText) &&
    [value.ownerId, value.teamId, value.revokedReason].every(isTextOrNull) &&
    [value.version, value.revision].every(isCount) &&
    [value.createdAtMs, value.updatedAtMs].every(isMoment) &&
    [value.expiresAtMs, value.disabledAtMs, value.revokedAtMs, value.lastUsedAtMs].every(isMomentOrNull) &&
    (previousSecret === null ||
      (isObject(previousSecret) && isText(previousSecret.secretHash) && isMoment(previousSecret.endsAtMs))) &&
    isObject(permissions) &&
    [permissions.allowChatCompletions, permissions.allowEmbeddings, permissions.allowCompletions].every(isFlag) &&
    isFlag(value.rateLimitEnabled) &&
    isTextOrNull(value.rateLimitPreset) &&
    (value.allowedIps === null || isNetworks(value.allowedIps)) &&
    isTexts(models) &&
    isTexts(tags) &&
    (value.endpoints === null || isTexts(value.endpoints)) &&
    isObject(value.metadata)
  );
}

/** As {@link isKeyRecord}, for a policy. */
export function isPolicyRecord(value: unknown): value is PolicyRecord {
  return (
    isObject(value) &&
    isLimits(value) &&
    (value.models === null || isTexts(value.models)) &&
    (value.endpoints === null || isTexts(value.endpoints)) &&
    [value.version, value.revision].every(isCount) &&
    [value.createdAtMs, value.updatedAtMs].every(isMoment)
  );
}

/** As {@link isKeyRecord}, for an alert. */
export function isAlertRow(value: unknown): value is AlertRow {
  return (
    isObject(value) &&
    [value.id, value.scopeId, value.keyId].every(isText) &&
    [value.ownerId, value.teamId, value.model].every(isTextOrNull) &&
    isAlertType(value.type) &&
    isMoment(value.atMs) &&
    (value.budget === null || isAlertedBudget(value.budget))
  );
}

function isAlertedBudget(value: unknown): boolean {
  return (
    isObject(value) &&
    isText(value.name) &&
    [value.thresholdNanoUsd, value.spentNanoUsd].every(isCount) &&
    [value.limitNanoUsd, value.percent].every(isCountOrNull) &&
    isMomentOrNull(value.resetAtMs)
  );
}

/** Whether it is a time that can be shown. */
export function isMoment(value: unknown): value is number {
  return isCount(value) && (value as number) <= latestMs;
}

/** The last moment that a `Date` can have. */
const latestMs = 8.64e15;

function isMomentOrNull(value: unknown): boolean {
  return value === null || isMoment(value);
}

type Unknown<T> = { readonly [field in keyof T]?: unknown };

function isLimits(value: Unknown<Limits>): boolean {
  return (
    [value.rpmLimit, value.tpmLimit, value.rpdLimit, value.tpdLimit].every(isCountOrNull) &&
    [value.maxParallelRequests, value.maxTokensPerRequest].every(isCountOrNull) &&
    [value.maxBudgetNanoUsd, value.softBudgetNanoUsd].every(isCountOrNull) &&
    (value.budgetDuration === null || isDuration(value.budgetDuration)) &&
    Array.isArray(value.budgets) &&
    value.budgets.every(isBudget) &&
    Array.isArray(value.modelLimits) &&
    value.modelLimits.every(isModelLimit)
  );
}

function isBudget(value: Unknown<Budget>): boolean {
  return isObject(value) && isCount(value.maxBudgetNanoUsd) && isDuration(value.budgetDuration);
}

function isModelLimit(value: Unknown<ModelLimit>): boolean {
  if (!isObject(value) || !isText(value.model)) return false;
  const { rpmLimit, tpmLimit, maxBudget } = value;
  return [rpmLimit, tpmLimit].every(isCountOrNull) && (maxBudget === null || isBudget(maxBudget as Unknown<Budget>));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}

function isDuration(value: unknown): boolean {
  return typeof value === 'string' && isBudgetDuration(value);
}

function isTextOrNull(value: unknown): boolean {
  return value === null || isText(value);
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every(isText);
}

function isNetworks(value: unknown): boolean {
  return Array.isArray(value) && value.every(isNetwork);
}

function isFlag(value: unknown): boolean {
  return typeof value === 'boolean';
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCountOrNull(value: unknown): boolean {
  return value === null || isCount(value);
}
