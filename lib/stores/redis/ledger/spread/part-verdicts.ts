import { randomUUID } from 'node:crypto';
import type { AdmissionPlan, ScopeId } from '../../../../limits/limit.ts';
import type { AdmitVerdict } from '../../../store.ts';
import type { Call, PartVerdict } from '../admit-part.ts';
import type { PlanPart } from '../plans.ts';
import { admitted, finite } from '../verdicts.ts';

/** What a shard says of its part of a plan. */
export interface Asked {
  readonly part: PlanPart;
  readonly verdict: PartVerdict;
}

/** Draws the nonces of unknown scopes. */
export type DrawNonce = (scopeId: ScopeId, candidate: string) => Promise<string>;

/** The verdict where the home has let the call in. */
export function granted({ request, compiled, ...call }: Call, asked: readonly Asked[]): AdmitVerdict {
  const home = asked.find(({ part }) => part === compiled.home)?.verdict;
  if (home?.outcome !== 'admitted') throw new RangeError('A call is let in by its home');
  const remaining = remainingOf(request.plan, asked);
  return admitted(request, { ...call, home: compiled.home.shard }, home.numbers, remaining, home.kept);
}

/** What is left of each limit of the plan, by what its parts say. */
function remainingOf({ limits }: AdmissionPlan, asked: readonly Asked[]): number[] {
  const remaining = limits.map(() => 0);
  for (const { part, verdict } of asked) {
    const left =
      verdict.outcome === 'admitted' ? verdict.numbers.slice(4) : 'remaining' in verdict ? verdict.remaining : [];
    for (const [at, position] of part.positions.entries()) remaining[position] = finite(left[at] ?? 0);
  }
  return remaining;
}

/** The verdict on all parts where one of them does not let the call in: the one that a single shard would give. */
export async function merged(
  plan: AdmissionPlan,
  asked: readonly Asked[],
  drawNonce: DrawNonce,
): Promise<AdmitVerdict> {
  const of = <O extends PartVerdict['outcome']>(...outcomes: readonly O[]) =>
    asked.flatMap(({ verdict }) => {
      return outcomes.some((one) => one === verdict.outcome) ? [verdict as Extract<PartVerdict, { outcome: O }>] : [];
    });
  const [ended] = of('hold_ended', 'id_conflict', 'too_old');
  if (ended !== undefined) return ended;
  const placeOf = (scopeId: ScopeId) => plan.scopes.findIndex((scope) => scope.scopeId === scopeId);
  const [stale] = of('stale').sort((a, b) => placeOf(a.scopeId) - placeOf(b.scopeId));
  if (stale !== undefined) return stale;
  const unseeded = of('unseeded').flatMap(({ scopeIds }) => scopeIds);
  if (unseeded.length > 0) {
    const scopes = unseeded
      .sort((a, b) => placeOf(a) - placeOf(b))
      .map(async (scopeId) => {
        return { scopeId, nonce: await drawNonce(scopeId, randomUUID()) };
      });
    return { outcome: 'unseeded', scopes: await Promise.all(scopes) };
  }
  return of('expired')[0] ?? of('stale_clock')[0] ?? refusal(plan, asked);
}

/** The longest wait is the truth for the whole request; the first of equals names it. */
function refusal(plan: AdmissionPlan, asked: readonly Asked[]): AdmitVerdict {
  let longest: { readonly position: number; readonly waitMs: number } | undefined;
  for (const { part, verdict } of asked) {
    if (verdict.outcome !== 'refused') continue;
    const position = verdict.by === 0 ? -1 : (part.positions[verdict.by - 1] ?? -1);
    const waitMs = verdict.retryAfterMs ?? Infinity;
    const isLonger = longest === undefined || waitMs > longest.waitMs;
    if (isLonger || (waitMs === longest?.waitMs && position < longest.position)) longest = { position, waitMs };
  }
  if (longest === undefined) throw new RangeError('A refusal names who refuses');
  const { position, waitMs } = longest;
  const retryAfterMs = waitMs === Infinity ? null : waitMs;
  const by = position < 0 ? 'max_tokens' : position;
  return { outcome: 'refused', by, retryAfterMs, remaining: remainingOf(plan, asked) };
}
