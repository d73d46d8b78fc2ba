import { randomUUID } from 'node:crypto';
import type { ScopeId } from '../../../limits/limit.ts';
import type { AdmitRequest, AdmitVerdict, ExtendRequest, Hold } from '../../store.ts';
import { quoted } from '../records/names.ts';
import { type LedgerContext, ledgerScript, runAct } from './acts.ts';
import { holdOf, readBody, writeBody } from './bodies.ts';
import { readScope } from './names.ts';
import { compilePlan, quotedAll } from './plans.ts';
import { type Jumps, tellJumps } from './replies.ts';

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
  | readonly [
      outcome: 'admitted',
      jumps: Jumps,
      atMs: number,
      tokens: number,
      cost: number,
      output: number,
      remaining: readonly number[],
      body?: string,
    ]
  | readonly [outcome: 'refused', Jumps, by: number, retryMs: number, remaining: readonly number[], isOver: number]
  | readonly [outcome: 'stale', Jumps, position: number, revision: number]
  | readonly [outcome: 'unseeded', Jumps, positions: readonly number[]]
  | readonly [outcome: 'stale_clock', Jumps, nowMs: number]
  | readonly [outcome: 'missing', Jumps, scopes: readonly string[]]
  | readonly [outcome: 'over' | 'expired' | 'id_conflict' | 'hold_ended' | 'too_old', Jumps];

const admitScript = ledgerScript<AdmitReply>('ledger-counters', 'admit');

/** Lets calls in, or says why not. */
export function createAdmitting(context: LedgerContext, expiry: Expiry, drawNonce: DrawNonce) {
  const { names, notify } = context;

  async function place(
    request: AdmitRequest | ExtendRequest,
    call: Call,
    further: readonly ScopeId[] = [],
    isSecondTry = false,
  ): Promise<AdmitVerdict> {
    const { plan, subject, trace, onAbandoned, amounts, clamp } = request;
    const { home, holdId, callId, leaseMs } = call;
    const compiled = compilePlan(plan);
    const scopeIds = [...compiled.scopeIds, ...further];
    const shards = [...new Set([home, ...scopeIds.map(names.shardOf)])];
    const body = writeBody(compiled.takes, { subject, trace, leaseMs, onAbandoned });
    const keys = [
      names.hold(home, holdId),
      names.leases(home),
      ...scopeIds.map(names.scope),
      ...shards.filter((shard) => shard !== home).map(names.leases),
    ];
    const act = {
      holdId,
      callId: quoted(callId),
      mintedAtMs: request.mintedAtMs,
      scopeIds: quotedAll(scopeIds),
      ...amounts,
      clamp: clamp && {
        inputTokens: clamp.inputTokens,
        inputCost: clamp.inputCostNanoUsd,
        picoUsd: clamp.outputPicoUsdPerToken,
        min: clamp.minOutputTokens,
        max: clamp.maxOutputTokens,
      },
      notAfterMs: request.notAfterMs ?? undefined,
      leaseMs,
      replacesFirst: call.replacesFirst,
    };
    const reply = await runAct(context, admitScript, keys, act, compiled.plan, body);
    tellJumps(reply[1], notify);

    switch (reply[0]) {
      case 'admitted': {
        const [, , atMs, tokens, costNanoUsd, output, left, kept] = reply;
        const taken = { atMs, amounts: { tokens, costNanoUsd } };
        const hold: Hold =
          kept === undefined
            ? { holdId, callId, home: `${home}`, subject, takes: plan.takes, ...taken, leaseMs, trace }
            : holdOf({ holdId, callId, home }, taken, readBody(kept));
        return { outcome: 'admitted', hold, outputTokens: output < 0 ? null : output, remaining: left.map(finite) };
      }
      case 'refused': {
        const [outcome, , by, retryMs, left, isOver] = reply;
        // A hold whose lease is over may stand in the way.
        if (isOver === 1 && !isSecondTry && (await expiry.sweepShards(shards, 64)) > 0) {
          return place(request, call, further, true);
        }
        const retryAfterMs = retryMs < 0 ? null : retryMs;
        return { outcome, by: by < 0 ? 'max_tokens' : by, retryAfterMs, remaining: left.map(finite) };
      }
      case 'stale':
        return { outcome: 'stale', scopeId: scopeIds[reply[2]] ?? 'global', revision: reply[3] };
      case 'stale_clock':
        return { outcome: 'stale_clock', nowMs: reply[2] };
      case 'unseeded': {
        const unknown = reply[2].flatMap((position) => scopeIds[position] ?? []);
        const scopes = unknown.map(async (scopeId) => ({ scopeId, nonce: await drawNonce(scopeId, randomUUID()) }));
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

  return {
    admit(request: AdmitRequest): Promise<AdmitVerdict> {
      const { holdId, leaseMs } = request;
      return place(request, { home: names.homeOf(request), holdId, leaseMs, callId: '', replacesFirst: false });
    },
    extend(request: ExtendRequest): Promise<AdmitVerdict> {
      const { hold, callId, replacesFirst } = request;
      const { holdId, leaseMs } = hold;
      return place(request, { home: names.homeOf(hold), holdId, callId, leaseMs, replacesFirst });
    },
  };
}

function finite(left: number): number {
  return left < 0 ? Infinity : left;
}
