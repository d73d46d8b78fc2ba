import { abandonedEvent, settledEvent } from '../../../ledger/usage-lines.ts';
import type { ScopeId } from '../../../limits/limit.ts';
import type { ChargedBudget, Hold, SettleRequest, SettleResult } from '../../store.ts';
import { quoted } from '../records/names.ts';
import { type LedgerContext, ledgerScript, runAct } from './acts.ts';
import { lineOf, sumsKeys } from './lines.ts';
import { counterOf, readScope } from './names.ts';
import { quotedAll } from './plans.ts';
import { type ChargedFields, chargedBudgets, type Jumps, tellJumps } from './replies.ts';

type EndReply =
  | readonly ['missing', Jumps, scopes: readonly string[]]
  | readonly [SettleResult['state'] | 'cancelled', Jumps, ChargedFields];

const endCallScript = ledgerScript<EndReply>('ledger-counters', 'ledger-usage', 'end-call');

/** Ends calls, each exactly once: by a settlement or a cancellation. */
export function createEnding(context: LedgerContext) {
  const { names, notify, usage } = context;

  async function endCall(
    hold: Hold,
    act: object,
    further: readonly ScopeId[] = [],
  ): Promise<{ readonly state: string; readonly charged: readonly ChargedBudget[] }> {
    const home = names.homeOf(hold);
    const { atMs, holdId, callId, subject, amounts } = hold;
    const scopeIds = [...new Set([...hold.takes.map(({ scopeId }) => scopeId), ...further])];
    const keys = [
      names.hold(home, holdId),
      names.leases(home),
      names.usage(home),
      names.days(home),
      ...sumsKeys(names, home, { keyId: subject.keyId, atMs }),
      ...scopeIds.map(names.scope),
    ];
    const reply = await runAct(context, endCallScript, keys, {
      holdId,
      callId: quoted(callId),
      scopeIds: quotedAll(scopeIds),
      takes: hold.takes.map(counterOf),
      at: atMs,
      ...amounts,
      usage,
      ...act,
    });
    if (reply[0] === 'missing') return endCall(hold, act, reply[2].map(readScope));
    tellJumps(reply[1], notify);
    return { state: reply[0], charged: chargedBudgets(reply[2]) };
  }

  return {
    async settle(request: SettleRequest): Promise<SettleResult> {
      const { hold, usage: consumed, costNanoUsd } = request;
      const event = settledEvent(hold, request);
      const lost = { ...event, source: 'lost_hold' as const };
      const { state, charged } = await endCall(hold, {
        kind: 'settle',
        used: { tokens: consumed.inputTokens + consumed.outputTokens, costNanoUsd },
        line: lineOf(event),
        lost: JSON.stringify(lost),
        abandoned: lineOf(abandonedEvent(hold, 0)),
      });
      if (state === 'settled' || state === 'late') return { state, event, charged };
      if (state === 'lost_hold') return { state, event: lost, charged };
      return { state: 'already', event: null, charged: [] };
    },

    async cancel(hold: Hold): Promise<{ readonly state: 'cancelled' | 'already' }> {
      const { state } = await endCall(hold, { kind: 'cancel', abandoned: lineOf(abandonedEvent(hold, 0)) });
      return { state: state === 'cancelled' ? 'cancelled' : 'already' };
    },
  };
}
