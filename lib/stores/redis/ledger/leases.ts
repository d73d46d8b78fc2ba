import { abandonedEvent } from '../../../ledger/usage-lines.ts';
import type { ScopeId } from '../../../limits/limit.ts';
import type { Hold } from '../../store.ts';
import { quoted } from '../records/names.ts';
import { type LedgerContext, ledgerScript, runAct } from './acts.ts';
import { lineOf, sumsKeys } from './lines.ts';
import { fieldOf } from './names.ts';
import { type FoundHold, type HoldPlace, readHold } from './reading.ts';
import { type ChargedFields, chargedBudgets, type Jumps, tellJumps } from './replies.ts';
import type { Fate, Parts } from './spread/parts.ts';
import { otherShards, readShards, writeShards } from './spread/shards.ts';
import { compileTakes } from './takes.ts';

type FoundDue = readonly [holdId: string, endsAtMs: string];
type AbandonReply = readonly [state: 'abandoned' | 'kept', Jumps, charged: readonly ChargedFields[], others: string];

const renewScript = ledgerScript<'renewed' | 'ended' | 'over'>('ledger-time', 'ledger-leases', 'renew');
const dueScript = ledgerScript<readonly FoundDue[]>('ledger-time', 'ledger-leases', 'due');
const abandonScript = ledgerScript<AbandonReply>(
  'ledger-time',
  'ledger-leases',
  'ledger-parts',
  'ledger-windows',
  'ledger-scopes',
  'ledger-periods',
  'ledger-corrections',
  'ledger-usage',
  'abandon',
);

type Due = HoldPlace & { readonly endsAtMs: number };

/** Renews leases, and ends the holds whose lease is over. */
export function createLeases(context: LedgerContext, parts: Parts) {
  const { names, notify, usageBounds } = context;

  /**
   * Reads what the hold took, then ends it with every key declared: unless it was renewed or extended meanwhile. What one
   * took elsewhere follows its home; `false`: no hold has ended.
   */
  async function endHold(shard: number, holdId: string): Promise<boolean> {
    const place = { shard, holdId };
    const found = await readHold(context, place);
    const { home } = found;
    if (home !== undefined) {
      return (await parts.resolve(place, home, found)) === 'over' && endHold(home, holdId);
    }
    if (found.hasEnded) {
      await parts.repair(place, found.others);
      return false;
    }
    return abandon(place, found);
  }

  async function abandon({ shard, holdId }: HoldPlace, found: FoundHold): Promise<boolean> {
    const isHere = ({ scopeId }: { readonly scopeId: ScopeId }) => names.shardOf(scopeId) === shard;
    const calls = found.calls.map(({ hold, onAbandoned }) => {
      const event = abandonedEvent(hold, onAbandoned === 'charge' ? hold.amounts.costNanoUsd : 0);
      return { hold, event, takes: hold.takes.filter(isHere), others: otherShards(names, hold.takes, shard) };
    });
    const taken = calls.flatMap(({ takes }) => takes.map(({ scopeId }) => scopeId));
    const scopeIds = [...new Set([...found.slots, ...taken])];
    const positionOf = (scopeId: ScopeId) => scopeIds.indexOf(scopeId) + 1;
    const keys = [
      names.hold(shard, holdId),
      names.leases(shard),
      names.usage(shard),
      names.days(shard),
      ...scopeIds.map(names.scope),
      ...calls.flatMap(({ event }) => sumsKeys(names, shard, event)),
    ];
    const expected = {
      scopes: scopeIds.length,
      slots: found.slots.map(positionOf),
      calls: calls.map(({ hold, event, takes, others }) => ({
        id: quoted(hold.callId),
        at: hold.atMs,
        tokens: hold.amounts.tokens,
        cost: hold.amounts.costNanoUsd,
        charged: event.costNanoUsd,
        takes: takes.map((take) => ({ position: positionOf(take.scopeId), field: fieldOf(take) })),
        line: lineOf(event),
        ...(others.length > 0 && { others: writeShards(others), all: compileTakes(hold.takes).text }),
      })),
    };
    const texts = [...usageBounds, holdId, JSON.stringify(expected)];
    const [state, jumps, charged, others] = await runAct(context, abandonScript, keys, [], ...texts);
    tellJumps(jumps, scopeIds, notify);
    if (state === 'kept') return false;
    const fates = calls.map(({ hold, event }) => abandoned(hold, event.costNanoUsd));
    const elsewhere = await parts.tellOthers({ shard, holdId }, readShards(others), fates, { hasEnded: true });
    for (const [index, { event }] of calls.entries()) {
      const here = chargedBudgets(charged[index] ?? [], scopeIds);
      notify({ type: 'abandoned', event, charged: [...here, ...(elsewhere[index] ?? [])] });
    }
    return true;
  }

  async function dueIn(shard: number, limit: number): Promise<readonly Due[]> {
    const found = await runAct(context, dueScript, [names.leases(shard)], [limit]);
    return found.map(([holdId, endsAtMs]) => ({ shard, holdId, endsAtMs: Number(endsAtMs) }));
  }

  /** What holds took elsewhere: most of it has followed its home when its turn comes. */
  async function partsLast(due: readonly Due[]): Promise<readonly Due[]> {
    const isPart = async (one: Due) => (await readHold(context, one)).home !== undefined;
    const found = await Promise.all(due.map(async (one) => ({ one, isPart: await isPart(one).catch(() => true) })));
    return found.sort((a, b) => Number(a.isPart) - Number(b.isPart)).map(({ one }) => one);
  }

  async function sweepShards(shards: readonly number[], limit: number): Promise<number> {
    const failures: unknown[] = [];
    // What one node cannot tell, or cannot be told, keeps nothing of the others open.
    const orElse = <T>(asked: Promise<T>, instead: T) =>
      asked.catch((error: unknown) => {
        failures.push(error);
        return instead;
      });
    const found = (await Promise.all(shards.map((shard) => orElse(dueIn(shard, limit), [])))).flat();
    const due = found.sort((a, b) => a.endsAtMs - b.endsAtMs).slice(0, limit);
    let ended = 0;
    // One after the other, so that notices come in order.
    for (const { shard, holdId } of shards.length > 1 ? await partsLast(due) : due) {
      if (await orElse(endHold(shard, holdId), false)) ended += 1;
    }
    if (failures.length > 0) throw failures[0];
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

function abandoned({ callId, takes }: Hold, costNanoUsd: number): Fate {
  return { callId, became: 'abandoned', tokens: 0, costNanoUsd, takes };
}
