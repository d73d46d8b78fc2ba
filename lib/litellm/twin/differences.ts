import { isDeepStrictEqual } from 'node:util';
import type { LiteLLMKey } from '../client/replies.ts';
import { markName, type WantedTwin } from './wanted-twin.ts';

/** A field in which a twin is not what it should be, under the name that the key has for it. */
export interface Difference {
  readonly field: TwinField;
  readonly ours: unknown;
  readonly theirs: unknown;
}

export type TwinField =
  | 'alias'
  | 'models'
  | 'blocked'
  | 'ownerId'
  | 'teamId'
  | 'maxBudget'
  | 'budgetDuration'
  | 'rpmLimit'
  | 'tpmLimit'
  | 'maxParallelRequests'
  | 'modelRpmLimit'
  | 'modelTpmLimit'
  | 'modelMaxBudget'
  | 'expiresAt'
  | 'metadata';

/** LiteLLM counts whole seconds from when a request arrives: a twin may end so much before its key. */
export const expiryToleranceMs = 60_000;

/** Every field in which the twin is not what it should be. */
export function differences(wanted: WantedTwin, alias: string, theirs: LiteLLMKey): readonly Difference[] {
  const pairs: readonly (readonly [TwinField, unknown, unknown])[] = [
    ['alias', alias, theirs.key_alias],
    ['models', [...wanted.models].sort(), [...theirs.models].sort()],
    ['blocked', wanted.blocked, theirs.blocked || hasEnded(wanted, theirs)],
    ['ownerId', wanted.user_id, theirs.user_id],
    ['teamId', wanted.team_id, theirs.team_id],
    ['maxBudget', wanted.max_budget, theirs.max_budget],
    ['budgetDuration', wanted.budget_duration, theirs.budget_duration],
    ['rpmLimit', wanted.rpm_limit, theirs.rpm_limit],
    ['tpmLimit', wanted.tpm_limit, theirs.tpm_limit],
    ['maxParallelRequests', wanted.max_parallel_requests, theirs.max_parallel_requests],
    ['modelRpmLimit', wanted.model_rpm_limit, theirs.metadata.model_rpm_limit ?? {}],
    ['modelTpmLimit', wanted.model_tpm_limit, theirs.metadata.model_tpm_limit ?? {}],
    ['modelMaxBudget', wanted.model_max_budget, theirs.model_max_budget],
    ['metadata', wanted.mark, theirs.metadata[markName]],
  ];
  const found = pairs.flatMap(([field, ours, their]) =>
    isSame(ours, their) ? [] : [{ field, ours, theirs: their ?? null }],
  );
  return isExpirySame(wanted, theirs) ? found : [...found, expiryDifference(wanted, theirs)];
}

/** LiteLLM's database keeps 15 digits of an amount, which may take one more. */
function isSame(ours: unknown, theirs: unknown): boolean {
  if (typeof ours === 'number' && typeof theirs === 'number') {
    return Math.abs(ours - theirs) <= Math.abs(ours) * 1e-14;
  }
  return isDeepStrictEqual(ours, theirs);
}

/** LiteLLM closes a twin by itself at its end. */
function hasEnded({ expiresAtMs, isOver }: WantedTwin, { expires }: LiteLLMKey): boolean {
  return isOver && expiresAtMs !== null && expires !== null && Date.parse(expires) <= expiresAtMs;
}

/** A twin that is blocked because its key has expired needs no end of its own. */
function isExpirySame({ expiresAtMs, blocked }: WantedTwin, { expires }: LiteLLMKey): boolean {
  if (expiresAtMs === null || expires === null) return (expiresAtMs === null && expires === null) || blocked;
  const theirMs = Date.parse(expires);
  return blocked || (theirMs <= expiresAtMs && theirMs >= expiresAtMs - expiryToleranceMs);
}

function expiryDifference({ expiresAtMs }: WantedTwin, { expires }: LiteLLMKey): Difference {
  return {
    field: 'expiresAt',
    ours: expiresAtMs === null ? null : new Date(expiresAtMs).toISOString(),
    theirs: expires === null ? null : new Date(expires).toISOString(),
  };
}
