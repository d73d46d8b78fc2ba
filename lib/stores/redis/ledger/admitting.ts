import type { AdmitRequest, AdmitVerdict, ExtendRequest } from '../../store.ts';
import type { LedgerContext } from './acts.ts';
import { type Call, createAskPart, type Expiry } from './admit-part.ts';
import { createAdmittingTogether } from './admitting-together.ts';
import { createPlanCompiler } from './plans.ts';
import { createAdmittingInShards } from './spread/admitting.ts';
import type { FenceCopies } from './spread/fence-copies.ts';
import { type DrawNonce, merged } from './spread/part-verdicts.ts';
import type { Parts } from './spread/parts.ts';
import { admitted, finite } from './verdicts.ts';

export interface AdmittingOptions {
  readonly context: LedgerContext;
  readonly expiry: Expiry;
  readonly parts: Parts;
  readonly copies: FenceCopies;
  readonly drawNonce: DrawNonce;
}

/** Lets calls in, or says why not. */
export function createAdmitting({ context, expiry, parts, copies, drawNonce }: AdmittingOptions) {
  const { names } = context;
  const compilePlan = createPlanCompiler(names);
  const askPart = createAskPart(context, expiry, copies);
  const placeInShards = createAdmittingInShards({ names, askPart, parts, drawNonce });

  /** Where all counters are in one shard, as they are unless there are several nodes. */
  async function placeAtHome(call: Call): Promise<AdmitVerdict | 'not_first'> {
    const { request, compiled } = call;
    const verdict = await askPart(call, { part: compiled.home, clamp: request.clamp, isProbe: false });
    if (verdict.outcome === 'not_first') return 'not_first';
    if (verdict.outcome !== 'admitted') return merged(request.plan, [{ part: compiled.home, verdict }], drawNonce);
    const [, , , , ...left] = verdict.numbers;
    const ids = { holdId: call.holdId, callId: call.callId, leaseMs: call.leaseMs, home: compiled.home.shard };
    return admitted(request, ids, verdict.numbers, left.map(finite), verdict.kept);
  }

  async function place(call: Call): Promise<AdmitVerdict> {
    const placed = await (call.compiled.others.length === 0 ? placeAtHome(call) : placeInShards(call));
    if (placed === 'not_first') return place({ ...call, replacesFirst: false });
    const { request } = call;
    if (call.replacesFirst && placed.outcome === 'admitted' && 'hold' in request)
      await parts.replaceFirst(request.hold);
    return placed;
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
