import { StoreUnavailableError } from '../../../errors.ts';
import type { Clamp, ScopeId } from '../../../limits/limit.ts';
import type { AdmitRequest, ExtendRequest } from '../../store.ts';
import { quoted } from '../records/names.ts';
import { type LedgerContext, ledgerScript, runAct } from './acts.ts';
import { type CallBody, type CallNumbers, readBody, writeBody } from './bodies.ts';
import { fieldOf, readScope } from './names.ts';
import type { CompiledPlan, PlanPart } from './plans.ts';
import { type Jumps, scopeAt, tellJumps } from './replies.ts';
import type { FenceCopies } from './spread/fence-copies.ts';
import { writeShards } from './spread/shards.ts';

/** Ends holds of these shards whose lease is over. */
export interface Expiry {
  sweepShards(shards: readonly number[], limit: number): Promise<number>;
  endHold(shard: number, holdId: string): Promise<boolean>;
}

/** A call that asks to be let in. */
export interface Call {
  readonly request: AdmitRequest | ExtendRequest;
  readonly compiled: CompiledPlan;
  readonly holdId: string;
  readonly callId: string;
  readonly leaseMs: number;
  readonly replacesFirst: boolean;
}

/** How one shard decides its part of a plan. */
export interface PartAsked {
  readonly part: PlanPart;
  readonly clamp: Clamp | undefined;
  /** Decides, and takes nothing. */
  readonly isProbe: boolean;
}

export type PartVerdict =
  /** `kept`: what was kept of the call when it was let in before. */
  | { readonly outcome: 'admitted'; readonly numbers: CallNumbers; readonly kept: CallBody | undefined }
  | { readonly outcome: 'fits'; readonly remaining: readonly number[]; readonly outputTokens: number }
  /** `by`: position in the part, from 1; 0: the request alone is too large. */
  | {
      readonly outcome: 'refused';
      readonly by: number;
      readonly retryAfterMs: number | null;
      readonly remaining: readonly number[];
    }
  | { readonly outcome: 'stale'; readonly scopeId: ScopeId; readonly revision: number }
  | { readonly outcome: 'unseeded'; readonly scopeIds: readonly ScopeId[] }
  | { readonly outcome: 'stale_clock'; readonly nowMs: number }
  /** The first call has ended, whose place this one was to take. */
  | { readonly outcome: 'not_first' }
  | { readonly outcome: 'expired' | 'id_conflict' | 'hold_ended' | 'too_old' };

type AdmitReply =
  | readonly [outcome: 'admitted', Jumps, CallNumbers]
  | readonly [outcome: 'repeated', Jumps, CallNumbers, body: string]
  | readonly [outcome: 'fits', Jumps, remaining: readonly number[], outputTokens: number]
  | readonly [outcome: 'refused', Jumps, by: number, retryMs: number, remaining: readonly number[], isOver: number]
  | readonly [outcome: 'stale', Jumps, position: number, revision: number]
  | readonly [outcome: 'unseeded', Jumps, positions: readonly number[]]
  | readonly [outcome: 'stale_clock', Jumps, nowMs: number]
  | readonly [outcome: 'missing', Jumps, scopes: readonly string[]]
  | readonly [outcome: 'over' | 'not_first' | 'expired' | 'id_conflict' | 'hold_ended' | 'too_old', Jumps];

const admitScript = ledgerScript<AdmitReply | CallNumbers>(
  'ledger-time',
  'ledger-windows',
  'admit-at-once',
  'admit-alone',
  'ledger-leases',
  'ledger-holds',
  'ledger-parts',
  'ledger-scopes',
  'ledger-periods',
  'ledger-corrections',
  'admit',
);

export type AskPart = (call: Call, asked: PartAsked) => Promise<PartVerdict>;

/** Asks one shard to let a call in. */
export function createAskPart(context: LedgerContext, expiry: Expiry, copies: FenceCopies): AskPart {
  const { names, notify } = context;

  async function askPart(
    call: Call,
    asked: PartAsked,
    further: readonly ScopeId[] = [],
    tried: { readonly hasSwept?: boolean; readonly hasCopied?: boolean } = {},
  ): Promise<PartVerdict> {
    const { request, compiled, holdId, leaseMs } = call;
    const { plan, subject, trace, onAbandoned, amounts } = request;
    const { part } = asked;
    const scopeIds = further.length === 0 ? part.scopeIds : [...part.scopeIds, ...further];
    const kept = { subject, takes: plan.takes, trace, leaseMs, onAbandoned };
    const elsewhere = part === compiled.home && compiled.others.length > 0;
    const reply = await runAct(
      context,
      admitScript,
      [names.hold(part.shard, holdId), names.leases(part.shard), ...part.keys, ...further.map(names.scope)],
      [request.mintedAtMs, amounts.tokens, amounts.costNanoUsd, request.notAfterMs ?? -1, leaseMs],
      part.text,
      writeBody(part.takes, kept, { elsewhere }),
      holdId,
      ...special(call, asked, scopeIds),
    );
    if (isTaken(reply)) return { outcome: 'admitted', numbers: reply, kept: undefined };
    tellJumps(reply[1], scopeIds, notify);

    switch (reply[0]) {
      case 'admitted':
        return { outcome: 'admitted', numbers: reply[2], kept: undefined };
      case 'repeated':
        return { outcome: 'admitted', numbers: reply[2], kept: readBody(reply[3]) };
      case 'fits':
        return { outcome: 'fits', remaining: reply[2], outputTokens: reply[3] };
      case 'refused': {
        const [outcome, , by, retryMs, remaining, isOver] = reply;
        // A hold whose lease is over may stand in the way.
        if (isOver === 1 && !tried.hasSwept) {
          await expiry.sweepShards([part.shard], 64);
          return askPart(call, asked, further, { ...tried, hasSwept: true });
        }
        return { outcome, by, retryAfterMs: retryMs < 0 ? null : retryMs, remaining };
      }
      case 'stale':
        return { outcome: 'stale', scopeId: scopeAt(reply[2], scopeIds), revision: reply[3] };
      case 'stale_clock':
        return { outcome: 'stale_clock', nowMs: reply[2] };
      case 'unseeded': {
        const missing = new Set(reply[2].map((position) => scopeAt(position, scopeIds)));
        const scopes = plan.scopes.filter(({ scopeId }) => missing.has(scopeId));
        const unknown = await copies.copyMissing(part.shard, scopes);
        if (unknown.length > 0) return { outcome: 'unseeded', scopeIds: unknown };
        if (tried.hasCopied) throw new StoreUnavailableError('Redis does not keep the copy of a fence');
        return askPart(call, asked, further, { ...tried, hasCopied: true });
      }
      case 'missing':
        return askPart(call, asked, [...further, ...new Set(reply[2].map(readScope))], tried);
      case 'over':
        await expiry.endHold(part.shard, holdId);
        return { outcome: 'hold_ended' };
      default:
        return { outcome: reply[0] };
    }
  }

  return (call, asked) => askPart(call, asked);
}

/** What the script is told of a call that is not simply the first one, in the one shard of its plan. */
function special(
  { compiled, callId, replacesFirst, request }: Call,
  { part, clamp, isProbe }: PartAsked,
  scopeIds: readonly ScopeId[],
): string[] {
  const { home, others } = compiled;
  const isHome = part === home;
  const isAlone = isHome && others.length === 0;
  if (clamp === undefined && callId === '' && part.isPlain && isAlone) return [];
  const told = {
    callId: callId === '' ? undefined : quoted(callId),
    replacesFirst,
    scopes: replacesFirst ? scopeIds.map(quoted) : undefined,
    clamp: clamp && {
      inputTokens: clamp.inputTokens,
      inputCost: clamp.inputCostNanoUsd,
      picoUsd: clamp.outputPicoUsdPerToken,
      min: clamp.minOutputTokens,
      max: clamp.maxOutputTokens,
    },
    others: isHome && !isAlone ? writeShards(others.map(({ shard }) => shard)) : undefined,
    home: isHome ? undefined : home.shard,
    slots: isHome || callId !== '' ? undefined : slotsOf(part, request),
    isProbe,
  };
  return [JSON.stringify(told)];
}

/** The names of the scopes of a part of which a first call takes a slot. */
function slotsOf({ positions }: PlanPart, { plan }: Call['request']): readonly string[] | undefined {
  const takes = positions.flatMap((position) => plan.takes[position] ?? []);
  const slots = takes.filter((take) => fieldOf(take) === 'o').map(({ scopeId }) => quoted(scopeId));
  return slots.length === 0 ? undefined : slots;
}

function isTaken(reply: AdmitReply | CallNumbers): reply is CallNumbers {
  return typeof reply[0] === 'number';
}
