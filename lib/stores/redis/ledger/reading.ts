import type { ScopeId } from '../../../limits/limit.ts';
import type { AdmitRequest, Hold } from '../../store.ts';
import { unquoted } from '../records/names.ts';
import { type LedgerContext, ledgerScript, runAct } from './acts.ts';
import { type CallNumbers, holdOf, readBody } from './bodies.ts';
import { readShards } from './spread/shards.ts';
import { readTakes } from './takes.ts';

type FoundCall = readonly [callId: string, CallNumbers, body: string];
type HoldReply = readonly [
  nowMs: number,
  home: string,
  others: string,
  hasEnded: 0 | 1,
  takes: string,
  readonly FoundCall[],
];

const readHoldScript = ledgerScript<HoldReply>('ledger-time', 'ledger-holds', 'read-hold');

/** Where a hold is kept, or what it took elsewhere. */
export interface HoldPlace {
  readonly shard: number;
  readonly holdId: string;
}

export interface FoundHold {
  /** By the clock of the shard. */
  readonly nowMs: number;
  /** Where the hold lives, if this is what it took elsewhere. */
  readonly home: number | undefined;
  /** The other shards from which it took. */
  readonly others: readonly number[];
  /** It waits for other shards to follow. */
  readonly hasEnded: boolean;
  /** The scopes here of which it has a slot. */
  readonly slots: readonly ScopeId[];
  /** The open ones, the first one first. */
  readonly calls: readonly { readonly hold: Hold; readonly onAbandoned: AdmitRequest['onAbandoned'] }[];
}

export async function readHold(context: LedgerContext, { shard, holdId }: HoldPlace): Promise<FoundHold> {
  const reply = await runAct(context, readHoldScript, [context.names.hold(shard, holdId)], []);
  const [nowMs, home, others, hasEnded, takes, found] = reply;
  const slots = readTakes(takes).filter(({ measure }) => measure === 'concurrency');
  return {
    nowMs,
    home: home === '' ? undefined : Number(home),
    others: readShards(others),
    hasEnded: hasEnded === 1,
    slots: slots.map(({ scopeId }) => scopeId),
    calls: found.map(([callId, [atMs, tokens, costNanoUsd], text]) => {
      const body = readBody(text);
      const ids = { holdId, callId: unquoted(callId), home: shard };
      const hold = holdOf(ids, { atMs, amounts: { tokens, costNanoUsd } }, body);
      return { hold, onAbandoned: body.onAbandoned };
    }),
  };
}
