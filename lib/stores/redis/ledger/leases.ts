import { abandonedEvent } from '../../../ledger/usage-lines.ts';
import type { ScopeId } from '../../../limits/limit.ts';
import type { Hold } from '../../store.ts';
import { quoted, unquoted } from '../records/names.ts';
import { type LedgerContext, ledgerScript, runAct } from './acts.ts';
import { type CallNumbers, holdOf, readBody } from './bodies.ts';
import { lineOf, sumsKeys } from './lines.ts';
import { fieldOf } from './names.ts';
import { type ChargedFields, chargedBudgets, type Jumps, tellJumps } from './replies.ts';
import { readTakes } from './takes.ts';

type FoundCall = readonly [callId: string, CallNumbers, body: string];
type FoundDue = readonly [position: number, holdId: string, endsAtMs: string];
type AbandonReply = readonly [state: 'abandoned' | 'kept', Jumps, charged: readonly ChargedFields[]];

const renewScript = ledgerScript<'renewed' | 'ended' | 'over'>('ledger-time', 'ledger-leases', 'renew');
const dueScript = ledgerScript<readonly FoundDue[]>('ledger-time', 'ledger-leases', 'due');
const readHoldScript = ledgerScript<readonly [takes: string, readonly FoundCall[]]>('ledger-holds', 'read-hold');
const abandonScript = ledgerScript<AbandonReply>(
  'ledger-time',
  'ledger-leases',
  'ledger-windows',
  'ledger-scopes',
  'ledger-periods',
  'ledger-corrections',
  'ledger-usage',
  'abandon',
);

type Due = { readonly home: number; readonly holdId: string; readonly endsAtMs: number };

/** Renews leases, and ends the holds whose lease is over. */
export function createLeases(context: LedgerContext) {
  const { names, notify, usageBounds } = context;

  async function readCalls(home: number, holdId: string) {
    const [takes, found] = await context.run(readHoldScript, [names.hold(home, holdId)], []);
    const calls = found.map(([callId, [atMs, tokens, costNanoUsd], text]) => {
      const body = readBody(text);
      const ids = { holdId, callId: unquoted(callId), home };
      const hold = holdOf(ids, { atMs, amounts: { tokens, costNanoUsd } }, body);
      return { hold, event: abandonedEvent(hold, body.onAbandoned === 'charge' ? costNanoUsd : 0) };
    });
    const slots = readTakes(takes).filter(({ measure }) => measure === 'concurrency');
    return { calls, slots: slots.map(({ scopeId }) => scopeId) };
  }

  /** Reads what the hold took, then ends it with every key declared: unless it was renewed or extended meanwhile. */
  async function endHold(home: number, holdId: string): Promise<boolean> {
    const { calls, slots } = await readCalls(home, holdId);
    const taken = calls.flatMap(({ hold }) => hold.takes.map(({ scopeId }) => scopeId));
    const scopeIds = [...new Set([...slots, ...taken])];
    const positionOf = (scopeId: ScopeId) => scopeIds.indexOf(scopeId) + 1;
    const keys = [
      names.hold(home, holdId),
      names.leases(home),
      names.usage(home),
      names.days(home),
      ...scopeIds.map(names.scope),
      ...calls.flatMap(({ event }) => sumsKeys(names, home, event)),
    ];
    const expected = {
      scopes: scopeIds.length,
      slots: slots.map(positionOf),
      calls: calls.map(({ hold, event }) => ({
        id: quoted(hold.callId),
        at: hold.atMs,
        tokens: hold.amounts.tokens,
        cost: hold.amounts.costNanoUsd,
        charged: event.costNanoUsd,
        takes: hold.takes.map((take) => ({ position: positionOf(take.scopeId), field: fieldOf(take) })),
        line: lineOf(event),
      })),
    };
    const texts = [...usageBounds, holdId, JSON.stringify(expected)];
    const [state, jumps, charged] = await runAct(context, abandonScript, keys, [], ...texts);
    tellJumps(jumps, scopeIds, notify);
    if (state === 'kept') return false;
    for (const [index, { event }] of calls.entries()) {
      notify({ type: 'abandoned', event, charged: chargedBudgets(charged[index] ?? [], scopeIds) });
    }
    return true;
  }

  async function dueIn(shards: readonly number[], limit: number): Promise<readonly Due[]> {
    const found = await runAct(context, dueScript, shards.map(names.leases), [limit]);
    const due = found.map(([position, holdId, endsAtMs]) => ({
      home: shards[position] ?? 0,
      holdId,
      endsAtMs: Number(endsAtMs),
    }));
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
      const state = await runAct(context, renewScript, keys, [leaseMs], holdId);
      if (state === 'over') await endHold(home, holdId);
      return { state: state === 'renewed' ? 'renewed' : 'ended' };
    },
  };
}
