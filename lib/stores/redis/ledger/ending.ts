import { abandonedEvent, settledEvent } from '../../../ledger/usage-lines.ts';
import type { ScopeId, Take } from '../../../limits/limit.ts';
import type { UsageEvent } from '../../../usage/usage.ts';
import type { ChargedBudget, Hold, SettleRequest, SettleResult } from '../../store.ts';
import { quoted } from '../records/names.ts';
import { type LedgerContext, ledgerScript, runAct } from './acts.ts';
import { lineOf, sumsKeys } from './lines.ts';
import { readScope } from './names.ts';
import { type ChargedFields, chargedBudgets, type Jumps, tellJumps } from './replies.ts';
import type { Became, Parts } from './spread/parts.ts';
import { readShards, writeShards } from './spread/shards.ts';
import { compileTakes, createTakesSplitter } from './takes.ts';

/** Of a call that was ended at once: how each budget stands from which it took. */
type EndedAtOnce = readonly number[];

type EndReply =
  | readonly ['missing', Jumps, scopes: readonly string[]]
  | readonly [SettleResult['state'] | 'cancelled' | 'overtaken', Jumps, ChargedFields, others: string, hasEnded: 0 | 1];

const endCallScript = ledgerScript<EndReply | EndedAtOnce>(
  'ledger-time',
  'ledger-windows',
  'ledger-usage',
  'end-at-once',
  'ledger-holds',
  'ledger-parts',
  'ledger-scopes',
  'ledger-periods',
  'ledger-corrections',
  'end-call',
);

/** What is written of a call: of a settlement its numbers and its line, of a cancellation nothing. */
interface Written {
  readonly numbers: readonly number[];
  readonly tokens: number;
  readonly costNanoUsd: number;
  readonly line: readonly string[];
  /** The event, should the hold be unknown. */
  readonly lost?: UsageEvent;
}

const nothing: Written = { numbers: [], tokens: 0, costNanoUsd: 0, line: [] };

/** Ends calls, each exactly once: by a settlement or a cancellation. */
export function createEnding(context: LedgerContext, parts: Parts) {
  const { names, notify, usageBounds } = context;
  const splitTakes = createTakesSplitter(names);

  /** @param further scopes that only the hold knows of; given, also when there are none, to a call that is not simply open */
  async function endCall(
    hold: Hold,
    written: Written,
    further?: readonly ScopeId[],
  ): Promise<{ readonly state: string; readonly charged: readonly ChargedBudget[] }> {
    const home = names.homeOf(hold);
    const { atMs, holdId, callId, subject } = hold;
    const byShard = splitTakes(hold.takes);
    const takes = byShard.get(home) ?? compileTakes([]);
    const others = writeShards([...byShard.keys()].filter((shard) => shard !== home));
    // What counts twice in one field is not to be ended at once.
    const onlyOfHold = further ?? (takes.isPlain ? undefined : []);
    const scopeIds = onlyOfHold === undefined ? takes.scopeIds : [...takes.scopeIds, ...onlyOfHold];
    const special = onlyOfHold && {
      scopes: onlyOfHold.map(quoted),
      abandoned: lineOf(abandonedEvent(hold, 0)),
      lost: written.lost && JSON.stringify(written.lost),
    };
    const keys = [
      names.hold(home, holdId),
      names.leases(home),
      names.usage(home),
      names.days(home),
      ...sumsKeys(names, home, { keyId: subject.keyId, atMs }),
      ...scopeIds.map(names.scope),
    ];
    const reply = await runAct(
      context,
      endCallScript,
      keys,
      [atMs, ...written.numbers],
      ...usageBounds,
      holdId,
      quoted(callId),
      takes.text,
      special === undefined ? '' : JSON.stringify(special),
      others,
      others === '' ? '' : compileTakes(hold.takes).text,
      ...written.line,
    );
    if (isEndedAtOnce(reply)) {
      const state = written.line.length > 0 ? 'settled' : 'cancelled';
      return { state, charged: written.costNanoUsd === 0 ? [] : chargedTakes(takes.budgets, reply) };
    }
    if (reply[0] === 'missing') return endCall(hold, written, reply[2].map(readScope));
    const [state, jumps, chargedHere, named, hasEnded] = reply;
    tellJumps(jumps, scopeIds, notify);
    const here = chargedBudgets(chargedHere, scopeIds);
    if (named === '') return { state, charged: here };
    const fate = {
      callId,
      became: becameOf(state),
      tokens: written.tokens,
      costNanoUsd: written.costNanoUsd,
      takes: hold.takes,
    } as const;
    const fates = state === 'already' ? [] : [fate];
    const place = { shard: home, holdId };
    const elsewhere = await parts.tellOthers(
      place,
      readShards(named),
      fates,
      hasEnded === 1 ? { hasEnded: true } : undefined,
    );
    return { state, charged: [...here, ...elsewhere.flat()] };
  }

  return {
    async settle(request: SettleRequest): Promise<SettleResult> {
      const { hold, usage, costNanoUsd } = request;
      const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = usage;
      const event = settledEvent(hold, request);
      const lost = { ...event, source: 'lost_hold' as const };
      const line = lineOf(event);
      const { state, charged } = await endCall(hold, {
        numbers: [inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, costNanoUsd],
        tokens: inputTokens + outputTokens,
        costNanoUsd,
        line: [line.event, line.member, line.field, line.other],
        lost,
      });
      if (state === 'settled' || state === 'late') return { state, event, charged };
      if (state === 'lost_hold') return { state, event: lost, charged };
      return { state: 'already', event: null, charged: [] };
    },

    async cancel(hold: Hold): Promise<{ readonly state: 'cancelled' | 'already' }> {
      const { state } = await endCall(hold, nothing);
      return { state: state === 'already' ? 'already' : 'cancelled' };
    },
  };
}

function becameOf(state: SettleResult['state'] | 'cancelled' | 'overtaken'): Became {
  if (state === 'overtaken') return 'undone';
  return state === 'cancelled' ? 'cancelled' : 'settled';
}

function isEndedAtOnce(reply: EndReply | EndedAtOnce): reply is EndedAtOnce {
  return typeof reply[0] !== 'string';
}

function chargedTakes(budgets: readonly Take[], spentNow: EndedAtOnce): readonly ChargedBudget[] {
  return budgets.map(({ scopeId, id, periodStartMs }, at) => {
    return { scopeId, budgetId: id, periodStartMs, spentNanoUsd: spentNow[at] ?? 0 };
  });
}
