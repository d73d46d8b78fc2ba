import type { UsageDimension, UsageQuery, UsageRow } from '../usage/usage.ts';

const hourMs = 3_600_000;

/** What a row of usage counts. */
export type UsageCounts = Omit<UsageRow, 'group'>;

/** Usage of one hour, key, owner, team, model and endpoint. */
export interface HourlySum extends UsageCounts {
  readonly hourMs: number;
  readonly keyId: string;
  readonly ownerId: string | null;
  readonly teamId: string | null;
  readonly model: string | null;
  readonly endpoint: string | null;
  /** Apart, since an adjustment belongs to its key alone. */
  readonly adjustedNanoUsd: number;
}

/** Answers a query from sums by the hour: those that it asks for, added up by its groups, in the order of their values. */
export function sumUsage(sums: Iterable<HourlySum>, query: UsageQuery): readonly UsageRow[] {
  const rows = new Map<string, { group: UsageRow['group']; counts: Counts }>();
  for (const sum of sums) {
    if (!matches(sum, query)) continue;
    const values = query.groupBy.map((dimension) => groupValue(sum, dimension));
    const name = values.map((value) => value ?? '').join('\0');
    let row = rows.get(name);
    if (row === undefined) {
      row = { group: groupOf(query.groupBy, values), counts: { ...noCounts } };
      rows.set(name, row);
    }
    add(row.counts, sum);
    if (query.keyId !== undefined) row.counts.costNanoUsd += sum.adjustedNanoUsd;
  }
  return [...rows.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { group, counts }]) => ({ group, ...counts }));
}

type Counts = { -readonly [count in keyof UsageCounts]: number };

export const noCounts: UsageCounts = {
  requests: 0,
  inputTokens: 0,
  outputTokens: 0,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  costNanoUsd: 0,
};

function add(counts: Counts, sum: UsageCounts): void {
  counts.requests += sum.requests;
  counts.inputTokens += sum.inputTokens;
  counts.outputTokens += sum.outputTokens;
  counts.cacheReadTokens += sum.cacheReadTokens;
  counts.cacheWriteTokens += sum.cacheWriteTokens;
  counts.costNanoUsd += sum.costNanoUsd;
}

function matches(sum: HourlySum, query: UsageQuery): boolean {
  if (query.keyId !== undefined && sum.keyId !== query.keyId) return false;
  if (query.ownerIds !== undefined && !isAmong(sum.ownerId, query.ownerIds)) return false;
  if (query.teamIds !== undefined && !isAmong(sum.teamId, query.teamIds)) return false;
  if (query.model !== undefined && sum.model !== query.model) return false;
  if (query.fromMs !== undefined && sum.hourMs + hourMs <= query.fromMs) return false;
  return query.untilMs === undefined || sum.hourMs < query.untilMs;
}

function isAmong(id: string | null, ids: readonly string[]): boolean {
  return id !== null && ids.includes(id);
}

function groupValue(sum: HourlySum, dimension: UsageDimension): string | null {
  switch (dimension) {
    case 'key':
      return sum.keyId;
    case 'owner':
      return sum.ownerId;
    case 'team':
      return sum.teamId;
    case 'model':
      return sum.model;
    case 'endpoint':
      return sum.endpoint;
    case 'day':
      return new Date(sum.hourMs).toISOString().slice(0, 10);
  }
}

function groupOf(groupBy: readonly UsageDimension[], values: readonly (string | null)[]): UsageRow['group'] {
  return Object.fromEntries(groupBy.map((dimension, position) => [dimension, values[position] ?? null]));
}
