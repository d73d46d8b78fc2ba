import type { AdmissionPlan, ScopeId } from '../../../limits/limit.ts';
import { fieldOf, type LedgerNames } from './names.ts';
import { compileTakes } from './takes.ts';

/** A plan as the script of admissions reads it, and what is the same for all calls under it. */
export interface CompiledPlan {
  readonly scopeIds: readonly ScopeId[];
  /** By position of the scopes. */
  readonly keys: readonly string[];
  /** Whether no scope has two limits of one name, which would count in one field. */
  readonly isPlain: boolean;
  /** Where its scopes are. */
  readonly shards: ReadonlySet<number>;
  /** JSON. */
  readonly text: string;
  /** JSON. */
  readonly takes: string;
}

/** Compiles each plan once: the service uses one again for all calls of a key and a model. */
export function createPlanCompiler(names: LedgerNames): (plan: AdmissionPlan) => CompiledPlan {
  const compiledPlans = new WeakMap<AdmissionPlan, CompiledPlan>();
  return (plan) => {
    const existing = compiledPlans.get(plan);
    if (existing !== undefined) return existing;
    const scopeIds = plan.scopes.map(({ scopeId }) => scopeId);
    const takes = compileTakes(plan.takes);
    const compiled = {
      scopeIds,
      isPlain: takes.fields.every((fields) => new Set(fields).size === fields.length),
      keys: scopeIds.map(names.scope),
      shards: new Set(scopeIds.map(names.shardOf)),
      text: planText(plan),
      takes: takes.text,
    };
    compiledPlans.set(plan, compiled);
    return compiled;
  };
}

/** A list without names, in the order that the script tells: a plan makes the limits of each scope in one go. */
function planText({ scopes, limits, takes, maxTokensPerRequest, validFromMs, validUntilMs }: AdmissionPlan): string {
  return JSON.stringify([
    validFromMs,
    validUntilMs,
    maxTokensPerRequest?.limit ?? -1,
    scopes.length,
    limits.length,
    ...scopes.flatMap(({ revision }, at) => [revision, limits.filter(({ scopeIndex }) => scopeIndex === at).length]),
    ...takes.map(fieldOf),
    ...limits.map(({ limit }) => limit ?? -1),
    ...limits.flatMap((limit) => (limit.measure === 'budget' ? [limit.periodEndMs ?? -1] : [])),
  ]);
}
