import { createHash } from 'node:crypto';
import type { UsageEvent } from '../../usage/usage.ts';
import { integer, text, textOrNull } from './literals.ts';
import type { UsageLine } from './working-set.ts';

const hourMs = 3_600_000;

const measured = ['requests', 'input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_write_tokens'] as const;
const summed = [...measured, 'cost_nano_usd', 'adjusted_nano_usd'] as const;

type Sums = { [column in (typeof summed)[number]]: number };

interface HourRow extends Sums {
  readonly id: string;
  readonly event: UsageEvent;
}

/** The statements that write these lines, and add them to the sums of their hours. */
export function usageStatements(schema: string, lines: readonly UsageLine[]): readonly string[] {
  if (lines.length === 0) return [];
  const events = lines.map(({ event, replaced }) => eventValues(event, replaced !== null)).join(',');
  return [
    `insert into ${schema}.usage_events (${eventColumns}, is_correction) values ${events}`,
    ...sumStatements(schema, lines),
  ];
}

/** The statement that adds lines to the sums of their hours; a line that another one replaces no longer counts. */
export function sumStatements(schema: string, lines: readonly UsageLine[]): readonly string[] {
  const hours = new Map<string, HourRow>();
  for (const { event, replaced } of lines) {
    if (replaced !== null) count(hours, replaced, -1);
    count(hours, event, 1);
  }
  if (hours.size === 0) return [];
  // Whoever updates several rows does so in one order.
  const rows = [...hours.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  const added = summed.map((column) => `${column} = usage_hours.${column} + excluded.${column}`).join(', ');
  return [
    `insert into ${schema}.usage_hours (id, hour_ms, ${nameColumns}, ${summed.join(', ')})
values ${rows.map(hourValues).join(',')}
on conflict (id) do update set ${added}`,
  ];
}

const nameColumns = 'key_id, owner_id, team_id, model, endpoint';

export const eventColumns = `hold_id, call_id, at_ms, ${nameColumns}, source, ${measured.join(', ')}, cost_nano_usd, trace`;

function names({ keyId, ownerId, teamId, model, endpoint }: UsageEvent): string {
  return [text(keyId), ...[ownerId, teamId, model, endpoint].map(textOrNull)].join(',');
}

export function eventValues(event: UsageEvent, isCorrection: boolean): string {
  return `(${text(event.holdId)},${text(event.callId)},${integer(event.atMs)},${names(event)},${text(event.source)},${[
    event.requests,
    event.inputTokens,
    event.outputTokens,
    event.cacheReadTokens,
    event.cacheWriteTokens,
    event.costNanoUsd,
  ]
    .map(integer)
    .join(',')},${textOrNull(event.trace)},${isCorrection})`;
}

function hourOf({ atMs }: UsageEvent): number {
  return Math.floor(atMs / hourMs) * hourMs;
}

function hourValues({ id, event, ...sums }: HourRow): string {
  return `('${id}',${integer(hourOf(event))},${names(event)},${summed.map((column) => integer(sums[column])).join(',')})`;
}

function count(hours: Map<string, HourRow>, event: UsageEvent, sign: 1 | -1): void {
  const { keyId, ownerId, teamId, model, endpoint } = event;
  const name = JSON.stringify([hourOf(event), keyId, ownerId, teamId, model, endpoint]);
  let row = hours.get(name);
  if (row === undefined) {
    const id = createHash('sha256').update(name).digest('base64url').slice(0, 22);
    row = { id, event, ...nothing };
    hours.set(name, row);
  }
  row.requests += sign * event.requests;
  row.input_tokens += sign * event.inputTokens;
  row.output_tokens += sign * event.outputTokens;
  row.cache_read_tokens += sign * event.cacheReadTokens;
  row.cache_write_tokens += sign * event.cacheWriteTokens;
  row[event.source === 'adjustment' ? 'adjusted_nano_usd' : 'cost_nano_usd'] += sign * event.costNanoUsd;
}

const nothing: Sums = {
  requests: 0,
  input_tokens: 0,
  output_tokens: 0,
  cache_read_tokens: 0,
  cache_write_tokens: 0,
  cost_nano_usd: 0,
  adjusted_nano_usd: 0,
};
