import type { Budget, Limits } from '../limits/limit.ts';
import { usd } from '../usage/money.ts';
import type { ShownSync } from './attached-mirror.ts';
import { modelLimitMaps } from './key-fields.ts';
import type { BudgetInput } from './key-input.ts';
import type { KeySettings, Policy, ShownLimits, VirtualKey } from './shown-key.ts';
import type { KeySpend } from './spend.ts';
import { keyStatus, type PolicyRecord, type VirtualKeyRecord } from './virtual-key.ts';

/** A key as callers see it. It names every field it shows, so that no new one of the record gets out unseen. */
export function showKey(
  record: VirtualKeyRecord,
  spend: KeySpend,
  nowMs: number,
  sync: ShownSync | null = null,
): VirtualKey {
  return { ...showKeySettings(record), status: keyStatus(record, nowMs), ...showSpend(spend), sync };
}

/** What a key was made with, and when it changed: all of it but what only the store's counters know. */
export function showKeySettings(record: VirtualKeyRecord): KeySettings {
  return {
    id: record.id,
    name: record.name,
    alias: record.alias,
    prefix: record.prefix,
    ...showSettings(record),
    revokedReason: record.revokedReason,
    version: record.version,
    createdAt: isoTime(record.createdAtMs),
    updatedAt: isoTime(record.updatedAtMs),
    lastUsedAt: isoTimeOrNull(record.lastUsedAtMs),
  };
}

/** A key as the audit log keeps it: its settings and what ended it; neither usage nor secret. */
export function auditView(record: VirtualKeyRecord): object {
  return {
    name: record.name,
    alias: record.alias,
    prefix: record.prefix,
    ...showSettings(record),
    disabledAt: isoTimeOrNull(record.disabledAtMs),
    revokedAt: isoTimeOrNull(record.revokedAtMs),
    revokedReason: record.revokedReason,
    version: record.version,
  };
}

/** A policy as callers see it. */
export function showPolicy(record: PolicyRecord): Policy {
  return {
    models: record.models,
    endpoints: record.endpoints,
    ...showLimits(record),
    version: record.version,
    createdAt: isoTime(record.createdAtMs),
    updatedAt: isoTime(record.updatedAtMs),
  };
}

function showSettings(record: VirtualKeyRecord) {
  const { models, endpoints, permissions, ownerId, teamId, tags, metadata } = record;
  const { rateLimitEnabled, rateLimitPreset, allowedIps } = record;
  return {
    ...{ models, endpoints, permissions, ownerId, teamId, tags, metadata },
    ...{ rateLimitEnabled, rateLimitPreset, allowedIps },
    expiresAt: isoTimeOrNull(record.expiresAtMs),
    ...showLimits(record),
  };
}

function showLimits(limits: Limits): ShownLimits {
  const { modelRpmLimit, modelTpmLimit, modelMaxBudget } = modelLimitMaps(limits.modelLimits);
  return {
    rpmLimit: limits.rpmLimit,
    tpmLimit: limits.tpmLimit,
    rpdLimit: limits.rpdLimit,
    tpdLimit: limits.tpdLimit,
    maxParallelRequests: limits.maxParallelRequests,
    maxTokensPerRequest: limits.maxTokensPerRequest,
    maxBudget: usdOrNull(limits.maxBudgetNanoUsd),
    softBudget: usdOrNull(limits.softBudgetNanoUsd),
    budgetDuration: limits.budgetDuration,
    budgets: limits.budgets.map(showBudget),
    modelRpmLimit: Object.fromEntries(modelRpmLimit),
    modelTpmLimit: Object.fromEntries(modelTpmLimit),
    modelMaxBudget: Object.fromEntries(Array.from(modelMaxBudget, ([model, budget]) => [model, showBudget(budget)])),
  };
}

function showBudget({ maxBudgetNanoUsd, budgetDuration }: Budget): BudgetInput {
  return { maxBudget: usd(maxBudgetNanoUsd), budgetDuration };
}

function showSpend(spend: KeySpend) {
  const { spentNanoUsd, heldNanoUsd, limitNanoUsd, exceeded, resetAtMs, isApproximate } = spend;
  return {
    budgetExceeded: exceeded,
    spend: usd(spentNanoUsd),
    budgetRemaining: limitNanoUsd === null ? null : usd(Math.max(0, limitNanoUsd - spentNanoUsd - heldNanoUsd)),
    budgetUtilization: limitNanoUsd === null ? null : utilization(spentNanoUsd, limitNanoUsd),
    budgetResetAt: isoTimeOrNull(resetAtMs),
    ...(isApproximate && { spendIsApproximate: true as const }),
  };
}

/** Percent, to four decimals. Of a budget of nothing everything is used. */
function utilization(spentNanoUsd: number, limitNanoUsd: number): number {
  return limitNanoUsd === 0 ? 100 : Math.round((spentNanoUsd / limitNanoUsd) * 1e6) / 1e4;
}

function usdOrNull(nano: number | null): number | null {
  return nano === null ? null : usd(nano);
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

function isoTimeOrNull(ms: number | null): string | null {
  return ms === null ? null : isoTime(ms);
}
