import { abandonedEvent } from '../../../ledger/usage-lines.ts';
import type { Hold } from '../../store.ts';
import { quoted, unquoted } from '../records/names.ts';
import { type LedgerContext, ledgerScript, runAct } from './acts.ts';
import { holdOf, readBody } from './bodies.ts';
import { lineOf, sumsKeys } from './lines.ts';
import { counterOf, readScope } from './names.ts';
import { quotedAll } from './plans.ts';
import { type ChargedFields, chargedBudgets, type Jumps, tellJumps } from './replies.ts';

type FoundCall = readonly [callId: string, atMs: number, tokens: number, costNanoUsd: number, body: string];
type FoundDue = readonly [position: number, holdId: string, endsAtMs: number];
type AbandonReply = readonly [state: 'abandoned' | 'kept', Jumps, charged: readonly ChargedFields[]];

const renewScript = ledgerScript<'renewed' | 'ended' | 'over'>('ledger-counters', 'renew');
const dueScript = ledgerScript<readonly FoundDue[]>('ledger-counters', 'due');
const readHoldScript = ledgerScript<readonly [slots: string, readonly FoundCall[]]>('read-hold');
const abandonScript = ledgerScript<AbandonReply>('ledger-counters', 'ledger-usage', 'abandon');

type Due = { readonly home: number; readonly holdId: string; readonly endsAtMs: number };

/** Renews leases, and ends the holds whose lease is over. */
export function createLeases(context: LedgerContext) {
  const { names, notify, usage } = context;

  async function readCalls(home: number, holdId: string) {
    const [slots, found] = await runAct(context, readHoldScript, [names.hold(home, holdId)], {});
    const calls = found.map(([callId, atMs, tokens, costNanoUsd, text]) => {
      const body = readBody(text);
      const ids = { holdId, callId: unquoted(callId), home };
      const hold = holdOf(ids, { atMs, amounts: { tokens, costNanoUsd } }, body);
      return { hold, event: abandonedEvent(hold, body.onAbandoned === 'charge' ? costNanoUsd : 0) };
    });
    const slotNames: readonly string[] = JSON.parse(slots);
    return { calls, slots: slotNames };
  }

  /** Reads what the hold took, then ends it with every key declared: unless it was renewed or extended meanwhile. */
  async function endHold(home: number, holdId: string): Promise<boolean> {
    const { calls, slots } = await readCalls(home, holdId);
    const taken = calls.flatMap(({ hold }) => hold.takes.map(({ scopeId }) => scopeId));
    const scopeIds = [...new Set([...slots.map(readScope), ...taken])];
    const keys = [
      names.hold(home, holdId),
      names.leases(home),
      names.usage(home),
      names.days(home),
      ...scopeIds.map(names.scope),
      ...calls.flatMap(({ event }) => sumsKeys(names, home, event)),
    ];
    const [state, jumps, charged] = await runAct(context, abandonScript, keys, {
      holdId,
      scopeIds: quotedAll(scopeIds),
      slots,
      usage,
      calls: calls.map(({ hold, event }) => ({
        id: quoted(hold.callId),
        at: hold.atMs,
        ...hold.amounts,
        chargedNanoUsd: event.costNanoUsd,
        takes: hold.takes.map(counterOf),
        line: lineOf(event),
      })),
    });
    tellJumps(jumps, notify);
    if (state === 'kept') return false;
    for (const [index, { event }] of calls.entries()) {
      notify({ type: 'abandoned', event, charged: chargedBudgets(charged[index] ?? []) });
    }
    return true;
  }

  async function dueIn(shards: readonly number[], limit: number): Promise<readonly Due[]> {
    const found = await runAct(context, dueScript, shards.map(names.leases), { limit });
    const due = found.map(([position, holdId, endsAtMs]) => ({ home: shards[position] ?? 0, holdId, endsAtMs }));
    return due.sort((a, b) => a.endsAtMs - b.endsAtMs).slice(0, limit);
  }

  async function sweepShards(shards: readonly number[], limit: number): Promise<number> {
    let ended = 0;
    // One after the other, so that notices come in order.
    for (const { home, holdId } of await dueIn(shards, limit)) if (await endHold(home, holdId)) ended += 1;
    return ended;
  }

  return {
    sweepShards,
    endHold,
    sweep: (limit: number) => sweepShards(names.shards, limit),
    async renew(hold: Hold): Promise<{ readonly state: 'renewed' | 'ended' }> {
      const home = names.homeOf(hold);
      const { holdId, leaseMs } = hold;
      const keys = [names.hold(home, holdId), names.leases(home)];
      const state = await runAct(context, renewScript, keys, { holdId, leaseMs });
      if (state === 'over') await endHold(home, holdId);
      return { state: state === 'renewed' ? 'renewed' : 'ended' };
    },
  };
}
