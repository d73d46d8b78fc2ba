import type { UsageDimension, UsageEvent, UsageQuery, UsageRow, UsageSource } from '../../usage/usage.ts';
import type { Ledger } from '../store.ts';
import type { PostgresConnection } from './connection.ts';
import { eventColumns } from './usage-lines.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** Longer than any transaction that writes usage may take: its locks and statements have shorter timeouts. */
const openAtMostSeconds = 30;

/** Lines that go in one statement, and statements of one call: what is left goes with the next. */
const trimmedAtOnce = 5000;
const maxTrimSteps = 20;

/** Reads the usage record. */
export interface UsageRecord extends Pick<Ledger, 'usage' | 'usageEvents'> {
  /** Forgets events up to this cursor, the oldest first and so many at most; sums stay. */
  trimUsage(until: string): Promise<void>;
  countUsage(atMost: number): Promise<number>;
}

export function createUsageRecord({ query, schema }: PostgresConnection): UsageRecord {
  const trimmed = `coalesce((select sequence from ${schema}.usage_trim), 0)`;

  return {
    async usage(asked) {
      const { where, values } = conditions(asked);
      const groups = asked.groupBy.map((dimension) => columns[dimension]);
      const cost = asked.keyId === undefined ? 'cost_nano_usd' : 'cost_nano_usd + adjusted_nano_usd';
      const rows = await query<{ [column: string]: string | null }>(
        `select ${[...groups.map((column, index) => `${column} as g${index}`), ...sums.map((column) => `sum(${column})::text as ${column}`)].join(', ')},
  sum(${cost})::text as cost, count(*)::text as hours
from ${schema}.usage_hours where ${where}
${groups.length === 0 ? '' : `group by ${groups.map((_, index) => index + 1).join(', ')}`}`,
        values,
      );
      return rows
        .filter((row) => row.hours !== '0')
        .map((row) => ({ row, name: groups.map((_, index) => row[`g${index}`] ?? '').join('\0') }))
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .map(({ row }) => usageRow(asked.groupBy, row));
    },

    async usageEvents(after, limit) {
      const rows = await query<EventRow>(
        `select e.sequence, ${eventColumns}, e.written_at < clock_timestamp() - interval '${openAtMostSeconds} s' as is_settled,
  ${trimmed} as trimmed
from ${schema}.usage_events e where e.sequence > greatest($1, ${trimmed}) order by e.sequence limit $2`,
        [sequenceOf(after), limit],
      );
      let last = Math.max(sequenceOf(after), Number(rows[0]?.trimmed ?? 0));
      const events: UsageEvent[] = [];
      for (const row of rows) {
        const sequence = Number(row.sequence);
        // A number that is missing may be that of a line that is yet to be committed.
        if (sequence > last + 1 && !row.is_settled) break;
        last = sequence;
        events.push(eventOf(row));
      }
      return { events, cursor: String(Math.max(last, sequenceOf(after))) };
    },

    async countUsage(atMost) {
      const [row] = await query<{ counted: string }>(
        `select count(*) as counted from (
  select from ${schema}.usage_events where sequence > ${trimmed} order by sequence limit $1) as kept`,
        [atMost],
      );
      return Number(row?.counted);
    },

    async trimUsage(until) {
      const sequence = sequenceOf(until);
      // First of all: from now on none of them is read, and numbers that are missing up to here are missing for good.
      await query(
        `insert into ${schema}.usage_trim (sequence) values ($1)
on conflict (is_only) do update set sequence = greatest(usage_trim.sequence, excluded.sequence)`,
        [sequence],
      );
      for (let step = 0; step < maxTrimSteps; step += 1) {
        const gone = await query(
          `delete from ${schema}.usage_events where sequence in
(select sequence from ${schema}.usage_events where sequence <= $1 order by sequence limit ${trimmedAtOnce}) returning 1`,
          [sequence],
        );
        if (gone.length < trimmedAtOnce) break;
      }
    },
  };
}

const sums = ['requests', 'input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_write_tokens'] as const;

const columns: { readonly [dimension in UsageDimension]: string } = {
  key: 'key_id',
  owner: 'owner_id',
  team: 'team_id',
  model: 'model',
  endpoint: 'endpoint',
  // To write each row's day out takes longer than to add the row up.
  day: `hour_ms / ${dayMs}`,
};

function conditions({ keyId, ownerIds, teamIds, model, fromMs, untilMs }: UsageQuery) {
  const values: unknown[] = [];
  const terms: string[] = [];
  const add = (term: string, value: unknown) => {
    values.push(value);
    terms.push(term.replace('?', `$${values.length}`));
  };
  if (keyId !== undefined) add('key_id = ?', keyId);
  if (ownerIds !== undefined) add('owner_id = any(?::text[])', [...ownerIds]);
  if (teamIds !== undefined) add('team_id = any(?::text[])', [...teamIds]);
  if (model !== undefined) add('model = ?', model);
  // The hour that contains the moment counts whole.
  if (fromMs !== undefined) add('hour_ms > ?', Math.ceil(fromMs) - hourMs);
  if (untilMs !== undefined) add('hour_ms < ?', Math.ceil(untilMs));
  return { where: terms.length === 0 ? 'true' : terms.join(' and '), values };
}

function usageRow(groupBy: readonly UsageDimension[], row: { readonly [column: string]: string | null }): UsageRow {
  return {
    group: Object.fromEntries(groupBy.map((dimension, index) => [dimension, groupName(dimension, row[`g${index}`])])),
    requests: Number(row.requests),
    inputTokens: Number(row.input_tokens),
    outputTokens: Number(row.output_tokens),
    cacheReadTokens: Number(row.cache_read_tokens),
    cacheWriteTokens: Number(row.cache_write_tokens),
    costNanoUsd: Number(row.cost),
  };
}

function groupName(dimension: UsageDimension, value: string | null | undefined): string | null {
  if (value === null || value === undefined) return null;
  return dimension === 'day' ? new Date(Number(value) * dayMs).toISOString().slice(0, 10) : value;
}

function sequenceOf(cursor: string | null): number {
  const sequence = Number(cursor ?? 0);
  return Number.isSafeInteger(sequence) && sequence > 0 ? sequence : 0;
}

export interface EventRow {
  readonly sequence: string;
  readonly is_settled: boolean;
  readonly trimmed: string;
  readonly hold_id: string;
  readonly call_id: string;
  readonly at_ms: string;
  readonly key_id: string;
  readonly owner_id: string | null;
  readonly team_id: string | null;
  readonly model: string | null;
  readonly endpoint: string | null;
  readonly source: UsageSource;
  readonly requests: number;
  readonly input_tokens: string;
  readonly output_tokens: string;
  readonly cache_read_tokens: string;
  readonly cache_write_tokens: string;
  readonly cost_nano_usd: string;
  readonly trace: string | null;
}

export function eventOf(row: EventRow): UsageEvent {
  return {
    keyId: row.key_id,
    ownerId: row.owner_id,
    teamId: row.team_id,
    model: row.model,
    endpoint: row.endpoint,
    inputTokens: Number(row.input_tokens),
    outputTokens: Number(row.output_tokens),
    cacheReadTokens: Number(row.cache_read_tokens),
    cacheWriteTokens: Number(row.cache_write_tokens),
    holdId: row.hold_id,
    callId: row.call_id,
    source: row.source,
    requests: row.requests,
    costNanoUsd: Number(row.cost_nano_usd),
    atMs: Number(row.at_ms),
    trace: row.trace,
  };
}
