import type { AdmissionPlan, PlannedLimit, ScopeId } from '../../../limits/limit.ts';
import { fieldOf, type LedgerNames } from './names.ts';
import { compileTakes } from './takes.ts';

/** What of a plan is decided in one shard, as the script of admissions reads it. */
export interface PlanPart {
  readonly shard: number;
  readonly scopeIds: readonly ScopeId[];
  /** By position of the scopes. */
  readonly keys: readonly string[];
  /** Where its limits stand in the plan, by their position here. */
  readonly positions: readonly number[];
  /** As its takes are. */
  readonly isPlain: boolean;
  /** JSON. */
  readonly text: string;
  /** JSON. */
  readonly takes: string;
}

/** A plan by the shards in which its scopes are, and what is the same for all calls under it. */
export interface CompiledPlan {
  /** Where the holds of the key are. Decided last: a call is admitted when its home admits it. */
  readonly home: PlanPart;
  /** In the order in which they decide, which is the same for all plans. */
  readonly others: readonly PlanPart[];
}

interface PlacedScope {
  readonly index: number;
  readonly scopeId: ScopeId;
  readonly key: string;
  readonly revision: number;
}

/** Compiles each plan once: the service uses one again for all calls of a key and a model. */
export function createPlanCompiler(names: LedgerNames): (plan: AdmissionPlan, home: number) => CompiledPlan {
  const compiledPlans = new WeakMap<AdmissionPlan, CompiledPlan>();

  function placedIn(plan: AdmissionPlan, shard: number, home: number): readonly PlacedScope[] {
    return plan.scopes.flatMap(({ scopeId, revision }, index) => {
      const isHere = names.shardOf(scopeId) === shard;
      if (isHere) return [{ index, scopeId, key: names.scope(scopeId), revision }];
      // Of a scope that counts nothing only its fence matters, of which there is a copy.
      const isCounted = plan.limits.some(({ scopeIndex }) => scopeIndex === index);
      if (shard !== home || isCounted) return [];
      return [{ index, scopeId, key: names.fenceCopy(home, scopeId), revision }];
    });
  }

  function compilePart(plan: AdmissionPlan, shard: number, home: number): PlanPart {
    const scopes = placedIn(plan, shard, home);
    const positions = scopes.flatMap(({ index }) => positionsOf(plan.limits, index));
    const takes = compileTakes(positions.flatMap((position) => plan.takes[position] ?? []));
    return {
      shard,
      scopeIds: scopes.map(({ scopeId }) => scopeId),
      keys: scopes.map(({ key }) => key),
      positions,
      isPlain: takes.isPlain,
      text: planText(plan, scopes, positions),
      takes: takes.text,
    };
  }

  return (plan, home) => {
    const existing = compiledPlans.get(plan);
    if (existing?.home.shard === home) return existing;
    const shards = new Set(plan.limits.map(({ scopeId }) => names.shardOf(scopeId)));
    shards.delete(home);
    const compiled = {
      home: compilePart(plan, home, home),
      others: [...shards].sort((a, b) => a - b).map((shard) => compilePart(plan, shard, home)),
    };
    compiledPlans.set(plan, compiled);
    return compiled;
  };
}

function positionsOf(limits: readonly PlannedLimit[], index: number): readonly number[] {
  return limits.flatMap(({ scopeIndex }, position) => (scopeIndex === index ? [position] : []));
}

/** A list without names, in the order that the script tells: a plan makes the limits of each scope in one go. */
function planText(plan: AdmissionPlan, scopes: readonly PlacedScope[], positions: readonly number[]): string {
  const { maxTokensPerRequest, validFromMs, validUntilMs } = plan;
  const limits = positions.flatMap((position) => plan.limits[position] ?? []);
  return JSON.stringify([
    validFromMs,
    validUntilMs,
    maxTokensPerRequest?.limit ?? -1,
    scopes.length,
    limits.length,
    ...scopes.flatMap(({ revision, index }) => [revision, positionsOf(plan.limits, index).length]),
    ...positions.flatMap((position) => plan.takes[position] ?? []).map(fieldOf),
    ...limits.map(({ limit }) => limit ?? -1),
    ...limits.flatMap((limit) => (limit.measure === 'budget' ? [limit.periodEndMs ?? -1] : [])),
  ]);
}
