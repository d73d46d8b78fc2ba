import { randomUUID } from 'node:crypto';
import type { ScopeId } from '../../../limits/limit.ts';
import type { AdmitRequest, AdmitVerdict, ExtendRequest } from '../../store.ts';
import { quoted } from '../records/names.ts';
import { type LedgerContext, ledgerScript, runAct } from './acts.ts';
import { createAdmittingTogether } from './admitting-together.ts';
import { type CallNumbers, readBody, writeBody } from './bodies.ts';
import { readScope } from './names.ts';
import { type CompiledPlan, createPlanCompiler } from './plans.ts';
import { type Jumps, scopeAt, tellJumps } from './replies.ts';
import { admitted, finite } from './verdicts.ts';

/** Draws the nonces of unknown scopes. */
export type DrawNonce = (scopeId: ScopeId, candidate: string) => Promise<string>;

/** Ends holds of these shards whose lease is over. */
export interface Expiry {
  sweepShards(shards: readonly number[], limit: number): Promise<number>;
  endHold(home: number, holdId: string): Promise<boolean>;
}

interface Call {
  readonly home: number;
  readonly holdId: string;
  readonly callId: string;
  readonly leaseMs: number;
  readonly replacesFirst: boolean;
}

type AdmitReply =
  | readonly [outcome: 'admitted', Jumps, CallNumbers]
  | readonly [outcome: 'repeated', Jumps, CallNumbers, body: string]
  | readonly [outcome: 'refused', Jumps, by: number, retryMs: number, remaining: readonly number[], isOver: number]
  | readonly [outcome: 'stale', Jumps, position: number, revision: number]
  | readonly [outcome: 'unseeded', Jumps, positions: readonly number[]]
  | readonly [outcome: 'stale_clock', Jumps, nowMs: number]
  | readonly [outcome: 'missing', Jumps, scopes: readonly string[]]
  | readonly [outcome: 'over' | 'expired' | 'id_conflict' | 'hold_ended' | 'too_old', Jumps];

const admitScript = ledgerScript<AdmitReply | CallNumbers>(
  'ledger-time',
  'ledger-windows',
  'admit-at-once',
  'admit-alone',
  'ledger-leases',
  'ledger-holds',
  'ledger-scopes',
  'ledger-periods',
  'ledger-corrections',
  'admit',
);

/** Lets calls in, or says why not. */
export function createAdmitting(context: LedgerContext, expiry: Expiry, drawNonce: DrawNonce) {
  const { names, notify } = context;
  const compilePlan = createPlanCompiler(names);

  async function place(
    request: AdmitRequest | ExtendRequest,
    call: Call,
    further: readonly ScopeId[] = [],
    isSecondTry = false,
  ): Promise<AdmitVerdict> {
    const { plan, subject, trace, onAbandoned, amounts } = request;
    const { home, holdId, leaseMs } = call;
    const compiled = compilePlan(plan);
    const scopeIds = further.length === 0 ? compiled.scopeIds : [...compiled.scopeIds, ...further];
    const shards = shardsOf(home, compiled, further);
    const keys = [names.hold(home, holdId), names.leases(home), ...compiled.keys, ...further.map(names.scope)];
    for (const shard of shards) if (shard !== home) keys.push(names.leases(shard));
    const reply = await runAct(
      context,
      admitScript,
      keys,
      [request.mintedAtMs, amounts.tokens, amounts.costNanoUsd, request.notAfterMs ?? -1, leaseMs],
      compiled.text,
      writeBody(compiled.takes, { subject, trace, leaseMs, onAbandoned }),
      holdId,
      ...special(request, call, compiled, scopeIds),
    );
    if (isTaken(reply)) return admitted(request, call, reply);
    tellJumps(reply[1], scopeIds, notify);

    switch (reply[0]) {
      case 'admitted':
        return admitted(request, call, reply[2]);
      case 'repeated':
        return admitted(request, call, reply[2], readBody(reply[3]));
      case 'refused': {
        const [outcome, , by, retryMs, left, isOver] = reply;
        // A hold whose lease is over may stand in the way.
        if (isOver === 1 && !isSecondTry && (await expiry.sweepShards([...shards], 64)) > 0) {
          return place(request, call, further, true);
        }
        const retryAfterMs = retryMs < 0 ? null : retryMs;
        return { outcome, by: by === 0 ? 'max_tokens' : by - 1, retryAfterMs, remaining: left.map(finite) };
      }
      case 'stale':
        return { outcome: 'stale', scopeId: scopeAt(reply[2], scopeIds), revision: reply[3] };
      case 'stale_clock':
        return { outcome: 'stale_clock', nowMs: reply[2] };
      case 'unseeded': {
        const scopes = reply[2].map(async (position) => {
          const scopeId = scopeAt(position, scopeIds);
          return { scopeId, nonce: await drawNonce(scopeId, randomUUID()) };
        });
        return { outcome: 'unseeded', scopes: await Promise.all(scopes) };
      }
      case 'missing':
        return place(request, call, [...further, ...new Set(reply[2].map(readScope))], isSecondTry);
      case 'over':
        await expiry.endHold(home, holdId);
        return { outcome: 'hold_ended' };
      default:
        return { outcome: reply[0] };
    }
  }

  function shardsOf(home: number, plan: CompiledPlan, further: readonly ScopeId[]): ReadonlySet<number> {
    if (further.length === 0 && plan.shards.size === 1 && plan.shards.has(home)) return plan.shards;
    return new Set([home, ...plan.shards, ...further.map(names.shardOf)]);
  }

  function admitAlone(request: AdmitRequest): Promise<AdmitVerdict> {
    const { holdId, leaseMs } = request;
    return place(request, { home: names.homeOf(request), holdId, leaseMs, callId: '', replacesFirst: false });
  }

  return {
    admit: createAdmittingTogether({ context, compilePlan, admitAlone }),
    extend(request: ExtendRequest): Promise<AdmitVerdict> {
      const { hold, callId, replacesFirst } = request;
      const { holdId, leaseMs } = hold;
      return place(request, { home: names.homeOf(hold), holdId, callId, leaseMs, replacesFirst });
    },
  };
}

/** What the script is told of a call that is not simply the first one. */
function special(
  { clamp }: Pick<AdmitRequest, 'clamp'>,
  { callId, replacesFirst }: Call,
  { isPlain }: CompiledPlan,
  scopeIds: readonly ScopeId[],
): string[] {
  if (clamp === undefined && callId === '' && isPlain) return [];
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
  };
  return [JSON.stringify(told)];
}

function isTaken(reply: AdmitReply | CallNumbers): reply is CallNumbers {
  return typeof reply[0] === 'number';
}
