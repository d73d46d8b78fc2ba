import { type AdmissionPlan, noLimits, type ScopeId } from '../lib/limits/limit.ts';
import { createPlan, type LimitedScope } from '../lib/limits/plan.ts';
import type { UsageSubject } from '../lib/usage/usage.ts';
import { endpoint, fourLimits, model, policiesOfEight, sixLimits } from './sample-keys.ts';

/** 4 and 6: of the key alone; 14: six of the key, and those of its owner, its team and everybody. */
export type LimitCount = 4 | 6 | 14;

/** Who calls with the key of this number: keys share a thousand owners, and these a hundred teams. */
export function subjectOf(keyId: string, index: number): UsageSubject {
  return { keyId, ownerId: `user-${index % 1000}`, teamId: `team-${index % 100}`, model, endpoint };
}

export function planOf({ keyId, ownerId, teamId }: UsageSubject, limitCount: LimitCount): AdmissionPlan {
  const key = scope(`key:${keyId}`, limitCount === 4 ? fourLimits : sixLimits);
  const { user, team, global } = policiesOfEight;
  const everybody = scope('global', { ...global, maxBudgetNanoUsd: null });
  const above = [scope(`user:${ownerId}`, user), scope(`team:${teamId}`, team), everybody];
  return createPlan(limitCount === 14 ? [key, ...above] : [key], model, Date.now());
}

function scope(scopeId: ScopeId, limits: object): LimitedScope {
  return {
    scopeId,
    revision: 1,
    limits: { ...noLimits, maxBudgetNanoUsd: Number.MAX_SAFE_INTEGER, ...limits },
    anchorMs: 0,
    rateLimitEnabled: true,
  };
}
