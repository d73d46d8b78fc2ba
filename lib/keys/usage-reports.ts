import type { Store } from '../stores/store.ts';
import { usd } from '../usage/money.ts';
import type { UsageDimension, UsageRow, UsageTotals } from '../usage/usage.ts';
import type { UsageReport, UsageRequest, UsageSums } from './virtual-keys.ts';

const dayMs = 86_400_000;

/** Sums of the usage record over a stretch of time, whole and by group. */
export async function usageReport(store: Store, request: UsageRequest, nowMs: number): Promise<UsageReport> {
  const groupBy = request.groupBy ?? [];
  const rows = await store.usage({
    keyId: request.keyId,
    ownerIds: listed(request.ownerId),
    teamIds: listed(request.teamId),
    model: request.model,
    fromMs: request.days === undefined ? moment(request.from) : daysBack(nowMs, request.days),
    untilMs: moment(request.until),
    groupBy,
  });
  return { totals: sums(total(rows)), rows: rows.map((row) => shownRow(row, groupBy)) };
}

function shownRow(row: UsageRow, groupBy: readonly UsageDimension[]): UsageReport['rows'][number] {
  const group = Object.fromEntries(groupBy.map((dimension) => [dimension, row.group[dimension] ?? null]));
  return { ...group, ...sums(row) };
}

function sums(totals: UsageTotals): UsageSums {
  const { requests, inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, costNanoUsd } = totals;
  return {
    requests,
    inputTokens,
    outputTokens,
    cacheReadTokens,
    cacheWriteTokens,
    totalTokens: inputTokens + outputTokens,
    costUsd: usd(costNanoUsd),
  };
}

function total(rows: readonly UsageTotals[]): UsageTotals {
  return rows.reduce(
    (sum, row) => ({
      requests: sum.requests + row.requests,
      inputTokens: sum.inputTokens + row.inputTokens,
      outputTokens: sum.outputTokens + row.outputTokens,
      cacheReadTokens: sum.cacheReadTokens + row.cacheReadTokens,
      cacheWriteTokens: sum.cacheWriteTokens + row.cacheWriteTokens,
      costNanoUsd: sum.costNanoUsd + row.costNanoUsd,
    }),
    { requests: 0, inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0, costNanoUsd: 0 },
  );
}

function daysBack(nowMs: number, days: number): number {
  return (Math.floor(nowMs / dayMs) + 1 - days) * dayMs;
}

function moment(value: string | number | Date | undefined): number | undefined {
  return value === undefined ? undefined : new Date(value).getTime();
}

export function listed(value: string | readonly string[] | undefined): readonly string[] | undefined {
  return typeof value === 'string' ? [value] : value;
}
