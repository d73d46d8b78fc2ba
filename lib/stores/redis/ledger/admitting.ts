import { randomUUID } from 'node:crypto';
import type { AdmissionPlan, Clamp, ScopeId } from '../../../limits/limit.ts';
import type { AdmitRequest, AdmitVerdict, ExtendRequest } from '../../store.ts';
import type { LedgerContext } from './acts.ts';
import { type Call, createAskPart, type Expiry, type PartVerdict } from './admit-part.ts';
import { createAdmittingTogether } from './admitting-together.ts';
import type { FenceCopies } from './fence-copies.ts';
import type { Parts } from './parts.ts';
import { type CompiledPlan, createPlanCompiler, type PlanPart } from './plans.ts';
import { admitted, finite } from './verdicts.ts';

/** Draws the nonces of unknown scopes. */
export type DrawNonce = (scopeId: ScopeId, candidate: string) => Promise<string>;

export interface AdmittingOptions {
  readonly context: LedgerContext;
  readonly expiry: Expiry;
  readonly parts: Parts;
  readonly copies: FenceCopies;
  readonly drawNonce: DrawNonce;
}

/** What a shard says of its part of a plan. */
interface Asked {
  readonly part: PlanPart;
  readonly verdict: PartVerdict;
}

/**
 * Lets calls in, or says why not. Where the scopes of a plan are in several shards, each decides its part, one after the
 * other and the home last: a call is let in when its home lets it in. What others took before one refused is given back;
 * should that fail, they give it back themselves when the lease is over, since the home does not know the call. So no
 * limit is ever passed. But what is about to be given back may stand in the way of another call for that moment.
 */
export function createAdmitting({ context, expiry, parts, copies, drawNonce }: AdmittingOptions) {
  const { names } = context;
  const compilePlan = createPlanCompiler(names);
  const askPart = createAskPart(context, expiry, copies);
  const suspects = createSuspects();

  /** Where all counters are in one shard, as they are unless there are several nodes. */
  async function placeAtHome(call: Call): Promise<AdmitVerdict> {
    const { request, compiled } = call;
    const verdict = await askPart(call, { part: compiled.home, clamp: request.clamp, isProbe: false });
    if (verdict.outcome !== 'admitted') return merged(request.plan, [{ part: compiled.home, verdict }]);
    const [, , , , ...left] = verdict.numbers;
    const ids = { holdId: call.holdId, callId: call.callId, leaseMs: call.leaseMs, home: compiled.home.shard };
    return admitted(request, ids, verdict.numbers, left.map(finite), verdict.kept);
  }

  async function placeInAll(call: Call): Promise<AdmitVerdict> {
    const { home, others } = call.compiled;
    const letIn: Asked[] = [];
    let clamp = await commonClamp(call);
    const suspect = suspects.of(call.compiled);
    if (suspect !== undefined) {
      const verdict = await askPart(call, { part: suspect, clamp, isProbe: true });
      if (verdict.outcome === 'refused') return refuse(call, letIn, { part: suspect, verdict }, clamp);
    }
    for (const part of [...others, home]) {
      const verdict = await ask(part);
      if (verdict.outcome === 'not_first') {
        await undo(call, letIn);
        return place({ ...call, replacesFirst: false });
      }
      if (verdict.outcome !== 'admitted') return refuse(call, letIn, { part, verdict }, clamp);
      letIn.push({ part, verdict });
      clamp = lowered(clamp, verdict);
    }
    if (call.replacesFirst && 'hold' in call.request) await replaceFirst(call.request);
    return granted(call, letIn);

    async function ask(part: PlanPart): Promise<PartVerdict> {
      try {
        return await askPart(call, { part, clamp, isProbe: false });
      } catch (error) {
        // Of the home nobody knows whether it has let the call in: whoever asked ends it, or its lease.
        if (part !== home) await undo(call, letIn).catch(() => undefined);
        throw error;
      }
    }
  }

  function place(call: Call): Promise<AdmitVerdict> {
    return call.compiled.others.length === 0 ? placeAtHome(call) : placeInAll(call);
  }

  function probe(call: Call, clamp: Clamp | undefined, except?: PlanPart): Promise<readonly Asked[]> {
    const { home, others } = call.compiled;
    const asked = [...others, home].filter((part) => part !== except);
    return Promise.all(
      asked.map(async (part) => ({ part, verdict: await askPart(call, { part, clamp, isProbe: true }) })),
    );
  }

  /** So that no shard takes for more output than the others let through. */
  async function commonClamp(call: Call): Promise<Clamp | undefined> {
    const { clamp } = call.request;
    if (clamp === undefined) return undefined;
    return (await probe(call, clamp)).reduce<Clamp | undefined>(
      (common, { verdict }) => lowered(common, verdict),
      clamp,
    );
  }

  /** Gives back what others took, and says what memory would, which has asked all. */
  async function refuse(call: Call, letIn: readonly Asked[], refusing: Asked, clamp: Clamp | undefined) {
    if (letIn.length > 0) suspects.add(call.compiled, refusing);
    await undo(call, letIn);
    return merged(call.request.plan, [...(await probe(call, clamp, refusing.part)), refusing]);
  }

  /** What was let in by an earlier try of the same call may be its own, and stays. */
  function undo({ request, holdId, callId }: Call, letIn: readonly Asked[]): Promise<void> {
    const shards = letIn.flatMap(({ part, verdict }) =>
      verdict.outcome === 'admitted' && verdict.kept === undefined ? [part.shard] : [],
    );
    return parts.undo(holdId, shards, { callId, takes: request.plan.takes });
  }

  /** What the first call took elsewhere is given back now that another has its place. */
  async function replaceFirst({ hold }: ExtendRequest): Promise<void> {
    const { holdId, takes } = hold;
    const home = names.homeOf(hold);
    const shards = new Set(takes.map(({ scopeId }) => names.shardOf(scopeId)));
    shards.delete(home);
    const first = { callId: '', became: 'replaced', tokens: 0, costNanoUsd: 0, takes } as const;
    await parts.tellOthers({ shard: home, holdId }, [...shards], [first], undefined);
  }

  /** The verdict on all parts where one of them does not let the call in. */
  async function merged(plan: AdmissionPlan, asked: readonly Asked[]): Promise<AdmitVerdict> {
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

  function admitAlone(request: AdmitRequest): Promise<AdmitVerdict> {
    const { holdId, leaseMs, plan } = request;
    const compiled = compilePlan(plan, names.homeOf(request));
    return place({ request, compiled, holdId, leaseMs, callId: '', replacesFirst: false });
  }

  return {
    admit: createAdmittingTogether({ context, compilePlan, admitAlone }),
    extend(request: ExtendRequest): Promise<AdmitVerdict> {
      const { hold, callId, replacesFirst, plan } = request;
      const { holdId, leaseMs } = hold;
      const compiled = compilePlan(plan, names.homeOf(hold));
      return place({ request, compiled, holdId, leaseMs, callId, replacesFirst });
    },
  };
}

/** What further shards may grant at most. */
function lowered(clamp: Clamp | undefined, verdict: PartVerdict): Clamp | undefined {
  if (clamp === undefined || (verdict.outcome !== 'admitted' && verdict.outcome !== 'fits')) return clamp;
  const granted = verdict.outcome === 'fits' ? verdict.outputTokens : verdict.numbers[3];
  return { ...clamp, maxOutputTokens: Math.min(clamp.maxOutputTokens, granted) };
}

function granted({ request, compiled, ...call }: Call, asked: readonly Asked[]): AdmitVerdict {
  const home = asked.at(-1)?.verdict;
  if (home?.outcome !== 'admitted') throw new RangeError('A call is let in by its home');
  const remaining: number[] = [];
  for (const { part, verdict } of asked) {
    if (verdict.outcome !== 'admitted') continue;
    const [, , , , ...left] = verdict.numbers;
    for (const [at, position] of part.positions.entries()) remaining[position] = finite(left[at] ?? 0);
  }
  return admitted(request, { ...call, home: compiled.home.shard }, home.numbers, remaining, home.kept);
}

/**
 * Shards that have just refused calls which others had let in: asked before the others, they spare them the taking and
 * giving back.
 */
function createSuspects() {
  const suspectedMs = 1000;
  const suspects = new WeakMap<CompiledPlan, { readonly part: PlanPart; readonly atMs: number }>();
  return {
    add(compiled: CompiledPlan, { part, verdict }: Asked): void {
      if (verdict.outcome === 'refused') suspects.set(compiled, { part, atMs: performance.now() });
    },
    of(compiled: CompiledPlan): PlanPart | undefined {
      const suspect = suspects.get(compiled);
      return suspect !== undefined && performance.now() - suspect.atMs < suspectedMs ? suspect.part : undefined;
    },
  };
}

/** The longest wait is the truth for the whole request; the first of equals names it. */
function refusal(plan: AdmissionPlan, asked: readonly Asked[]): AdmitVerdict {
  const remaining: number[] = plan.limits.map(() => 0);
  let longest: { readonly position: number; readonly waitMs: number } | undefined;
  for (const { part, verdict } of asked) {
    const left =
      verdict.outcome === 'admitted' ? verdict.numbers.slice(4) : 'remaining' in verdict ? verdict.remaining : [];
    for (const [at, position] of part.positions.entries()) remaining[position] = finite(left[at] ?? 0);
    if (verdict.outcome !== 'refused') continue;
    const position = verdict.by === 0 ? -1 : (part.positions[verdict.by - 1] ?? -1);
    const waitMs = verdict.retryAfterMs ?? Infinity;
    const isLonger = longest === undefined || waitMs > longest.waitMs;
    if (isLonger || (waitMs === longest?.waitMs && position < longest.position)) longest = { position, waitMs };
  }
  if (longest === undefined) throw new RangeError('A refusal names who refuses');
  const { position, waitMs } = longest;
  const retryAfterMs = waitMs === Infinity ? null : waitMs;
  return { outcome: 'refused', by: position < 0 ? 'max_tokens' : position, retryAfterMs, remaining };
}
