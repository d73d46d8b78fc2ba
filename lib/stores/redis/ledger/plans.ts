import type { AdmissionPlan, ScopeId } from '../../../limits/limit.ts';
import { quoted } from '../records/names.ts';
import { counterOf } from './names.ts';

/** A plan as the script reads it, and what all calls under it take. */
export interface CompiledPlan {
  readonly scopeIds: readonly ScopeId[];
  /** JSON. */
  readonly plan: string;
  /** JSON. */
  readonly takes: string;
}

const compiledPlans = new WeakMap<AdmissionPlan, CompiledPlan>();

/** Done once for each plan: the service uses one again for all calls of a key and a model. */
export function compilePlan(plan: AdmissionPlan): CompiledPlan {
  const existing = compiledPlans.get(plan);
  if (existing !== undefined) return existing;
  const takes = plan.takes.map(counterOf);
  const compiled = {
    scopeIds: plan.scopes.map(({ scopeId }) => scopeId),
    takes: JSON.stringify(takes),
    plan: JSON.stringify({
      // Scopes whose slots a hold takes: kept with it, and read when it ends.
      slots: JSON.stringify(takes.flatMap(({ kind, scope }) => (kind === 'concurrency' ? [scope] : []))),
      revisions: plan.scopes.map(({ revision }) => revision),
      limits: plan.limits.map((limit, position) => ({
        kind: limit.measure,
        scope: limit.scopeIndex + 1,
        id: takes[position]?.id,
        size: takes[position]?.size,
        limit: limit.limit ?? undefined,
        ends: 'periodEndMs' in limit ? (limit.periodEndMs ?? -1) : undefined,
      })),
      maxTokens: plan.maxTokensPerRequest?.limit,
      validFromMs: plan.validFromMs,
      validUntilMs: plan.validUntilMs,
    }),
  };
  compiledPlans.set(plan, compiled);
  return compiled;
}

export function quotedAll(scopeIds: readonly ScopeId[]): readonly string[] {
  return scopeIds.map(quoted);
}
