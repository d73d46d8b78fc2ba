import type { UsageEvent } from '../../../usage/usage.ts';
import { quoted } from '../records/names.ts';
import type { LedgerNames } from './names.ts';

export const dayMs = 86_400_000;
const hourMs = 3_600_000;

/** What belongs to no model of its own any more. */
const otherModel = 'other';

/** A line of the usage record as scripts write it, and where it is summed. */
export interface Line {
  readonly event: string;
  /** Its day and its key. */
  readonly member: string;
  readonly field: string;
  /** Where it is summed when the key has too many sums on its day. */
  readonly other: string;
  readonly sums: readonly number[];
}

export function lineOf(event: UsageEvent): Line {
  const day = Math.floor(event.atMs / dayMs);
  const isAdjustment = event.source === 'adjustment';
  return {
    event: JSON.stringify(event),
    member: `${day} ${quoted(event.keyId)}`,
    field: sumsField(event, event.model),
    other: sumsField(event, otherModel),
    sums: [
      event.requests,
      event.inputTokens,
      event.outputTokens,
      event.cacheReadTokens,
      event.cacheWriteTokens,
      isAdjustment ? 0 : event.costNanoUsd,
      isAdjustment ? event.costNanoUsd : 0,
    ],
  };
}

/** The keys of the sums of a line, by the order in which scripts want them. */
export function sumsKeys(names: LedgerNames, home: number, { keyId, atMs }: Pick<UsageEvent, 'keyId' | 'atMs'>) {
  return [names.sums(home, keyId, Math.floor(atMs / dayMs)), names.daysOfKey(home, keyId)];
}

function sumsField({ atMs, ownerId, teamId, endpoint }: UsageEvent, model: string | null): string {
  return JSON.stringify([Math.floor(atMs / hourMs), ownerId, teamId, model, endpoint]);
}

/** What a field of sums is about. */
export interface SumsOf {
  readonly hourMs: number;
  readonly ownerId: string | null;
  readonly teamId: string | null;
  readonly model: string | null;
  readonly endpoint: string | null;
}

export function readSumsField(field: string): SumsOf {
  const [hour, ownerId, teamId, model, endpoint]: [number, ...(string | null)[]] = JSON.parse(field);
  return {
    hourMs: hour * hourMs,
    ownerId: ownerId ?? null,
    teamId: teamId ?? null,
    model: model ?? null,
    endpoint: endpoint ?? null,
  };
}
