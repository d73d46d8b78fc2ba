import type { CompiledPlan, PlanPart } from '../plans.ts';

/**
 * Shards that have just refused calls which others had let in: asked before the others, they spare them the taking and
 * giving back.
 */
export function createSuspects() {
  const suspectedMs = 1000;
  const suspects = new WeakMap<CompiledPlan, { readonly part: PlanPart; readonly atMs: number }>();
  return {
    add(compiled: CompiledPlan, part: PlanPart): void {
      suspects.set(compiled, { part, atMs: performance.now() });
    },
    of(compiled: CompiledPlan): PlanPart | undefined {
      const suspect = suspects.get(compiled);
      return suspect !== undefined && performance.now() - suspect.atMs < suspectedMs ? suspect.part : undefined;
    },
  };
}
