import type { Clamp } from '../../../../limits/limit.ts';
import type { AdmitVerdict } from '../../../store.ts';
import type { AskPart, Call, PartVerdict } from '../admit-part.ts';
import type { LedgerNames } from '../names.ts';
import type { PlanPart } from '../plans.ts';
import { type Asked, type DrawNonce, granted, merged } from './part-verdicts.ts';
import type { Parts } from './parts.ts';
import { createSuspects } from './suspects.ts';

export interface ShardsOptions {
  readonly names: LedgerNames;
  readonly askPart: AskPart;
  readonly parts: Parts;
  readonly drawNonce: DrawNonce;
}

/**
 * Lets calls in whose scopes are in several shards, or says why not. Each shard decides its part, one after the other and
 * the home last: a call is let in when its home lets it in. What others took before one refused is given back; should that
 * fail, they give it back themselves when the lease is over, since the home does not know the call. So no limit is ever
 * passed. But what is about to be given back may stand in the way of another call for that moment.
 */
export function createAdmittingInShards({ names, askPart, parts, drawNonce }: ShardsOptions) {
  const suspects = createSuspects();

  async function place(call: Call): Promise<AdmitVerdict | 'not_first'> {
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
        return 'not_first';
      }
      if (verdict.outcome !== 'admitted') return refuse(call, letIn, { part, verdict }, clamp);
      letIn.push({ part, verdict });
      clamp = lowered(clamp, verdict);
    }
    await undoStrays(call, letIn);
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

  /**
   * Gives back what others took, and says what memory would, which has asked all: also that the call was let in before,
   * which its home alone knows.
   */
  async function refuse(call: Call, letIn: readonly Asked[], refusing: Asked, clamp: Clamp | undefined) {
    if (letIn.length > 0 && refusing.verdict.outcome === 'refused') suspects.add(call.compiled, refusing.part);
    await undo(call, letIn);
    const asked = [...(await probe(call, clamp, refusing.part)), refusing];
    const atHome = asked.find(({ part }) => part === call.compiled.home);
    return atHome?.verdict.outcome === 'admitted' ? granted(call, asked) : merged(call.request.plan, asked, drawNonce);
  }

  /** What was let in by an earlier try of the same call may be its own, and stays. */
  function undo({ request, compiled, holdId, callId }: Call, letIn: readonly Asked[]): Promise<void> {
    const shards = letIn.flatMap(({ part, verdict }) =>
      verdict.outcome === 'admitted' && verdict.kept === undefined ? [part.shard] : [],
    );
    return parts.withdraw({ shard: compiled.home.shard, holdId }, shards, { callId, takes: request.plan.takes });
  }

  /** A call that was let in before, under another plan, takes nothing where it did not take then. */
  async function undoStrays(call: Call, letIn: readonly Asked[]): Promise<void> {
    const home = letIn.at(-1)?.verdict;
    if (home?.outcome !== 'admitted' || home.kept === undefined) return;
    const taken = new Set(home.kept.takes.map(({ scopeId }) => names.shardOf(scopeId)));
    await undo(
      call,
      letIn.filter(({ part }) => part !== call.compiled.home && !taken.has(part.shard)),
    );
  }

  return place;
}

/** What further shards may grant at most. */
function lowered(clamp: Clamp | undefined, verdict: PartVerdict): Clamp | undefined {
  if (clamp === undefined || (verdict.outcome !== 'admitted' && verdict.outcome !== 'fits')) return clamp;
  const granted = verdict.outcome === 'fits' ? verdict.outputTokens : verdict.numbers[3];
  return { ...clamp, maxOutputTokens: Math.min(clamp.maxOutputTokens, granted) };
}
