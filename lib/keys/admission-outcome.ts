import { StoreUnavailableError } from '../errors.ts';
import { type AdmissionPlan, scopeKind } from '../limits/limit.ts';
import type { AdmitVerdict } from '../stores/store.ts';
import type { Granted, LimitRefusal, LimitStanding } from './admissions.ts';
import type { Principal } from './principals.ts';

/** What a verdict of the ledger means for the call. */
export function granted(
  { hold, outputTokens, remaining }: Extract<AdmitVerdict, { outcome: 'admitted' }>,
  principal: Principal,
  plan: AdmissionPlan,
): Granted {
  return { outcome: 'granted', hold, principal, outputTokens, standings: standingsOf(plan, remaining) };
}

export function limited(
  { by, retryAfterMs, remaining }: Extract<AdmitVerdict, { outcome: 'refused' }>,
  plan: AdmissionPlan,
): LimitRefusal {
  const standings = standingsOf(plan, remaining);
  const largest = plan.maxTokensPerRequest;
  if (by === 'max_tokens' && largest !== null) {
    const scope = scopeKind(plan.scopes[largest.scopeIndex]?.scopeId ?? 'global');
    const { limit } = largest;
    const limitName = 'max_tokens_per_request';
    return { outcome: 'limited', reason: 'too_large', scope, limitName, limit, retryAfterMs: null, standings };
  }
  const refusing = by === 'max_tokens' ? undefined : plan.limits[by];
  if (refusing === undefined) throw new StoreUnavailableError('The store refused by a limit that was not planned');
  const limit = refusing.limit ?? 0;
  // More than a limit that lets anything through can never fit; a limit of 0 refuses as itself.
  const isTooLarge = refusing.measure === 'tokens' && retryAfterMs === null && limit > 0;
  return {
    outcome: 'limited',
    reason: isTooLarge ? 'too_large' : refusing.measure,
    scope: scopeKind(refusing.scopeId),
    limitName: refusing.name,
    limit,
    retryAfterMs,
    standings,
  };
}

function standingsOf(plan: AdmissionPlan, remaining: readonly number[]): readonly LimitStanding[] {
  return plan.limits.map((limit, position) => ({ limit, remaining: remaining[position] ?? 0 }));
}
