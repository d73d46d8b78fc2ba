import type { ScopeId, Take } from '../../../../limits/limit.ts';
import type { ChargedBudget, Hold } from '../../../store.ts';
import { quoted, unquoted } from '../../records/names.ts';
import { type LedgerContext, ledgerScript, runAct } from '../acts.ts';
import { fieldOf, readScope } from '../names.ts';
import { type FoundHold, type HoldPlace, readHold } from '../reading.ts';
import { type ChargedFields, chargedBudgets, type Jumps, tellJumps } from '../replies.ts';
import { readTakes } from '../takes.ts';
import { otherShards } from './shards.ts';

/** What became of a call at home. */
export type Became = 'settled' | 'abandoned' | 'cancelled' | 'replaced' | 'undone';

/** Where a part of a hold is, and the shard where the hold lives. */
interface PartPlace extends HoldPlace {
  readonly home: number;
}

export interface Fate {
  readonly callId: string;
  /** `withdrawn`: whoever asked for it takes it back, unless somebody else has asked, too. */
  readonly became: Became | 'withdrawn';
  /** What was charged. */
  readonly tokens: number;
  readonly costNanoUsd: number;
  /** In all shards. */
  readonly takes: readonly Take[];
}

/** What a call was charged. */
type Charged = readonly ChargedBudget[];

/** When parts end: with their hold, or not before it is looked at again. */
export type End = { readonly hasEnded: true } | { readonly leaseEndsMs: number } | undefined;

type FollowReply =
  | readonly ['followed', Jumps, charged: readonly ChargedFields[]]
  | readonly ['missing', Jumps, scopes: readonly string[]]
  | readonly ['untold', Jumps];

type Stands = 'o' | 'r' | 's' | 'c' | 'a' | 'u';
type StandReply = readonly [
  isOpen: 0 | 1,
  leaseEndsMs: string,
  isOver: 0 | 1,
  calls: readonly (readonly [callId: string, stands: Stands, tokens: number, costNanoUsd: number, takes: string])[],
];

const followScript = ledgerScript<FollowReply>(
  'ledger-time',
  'ledger-holds',
  'ledger-parts',
  'ledger-windows',
  'ledger-scopes',
  'ledger-periods',
  'ledger-corrections',
  'follow',
);
const standScript = ledgerScript<StandReply>('ledger-time', 'ledger-leases', 'stand-at-home');
const forgetScript = ledgerScript<null>('forget-others');

/**
 * Has what holds took in other shards follow what became of them at home. A hold lives in one shard, and what happens there
 * is what has happened; the others are told at once, and whoever finds that they were not tells them later.
 */
export function createParts(context: LedgerContext) {
  const { names, notify } = context;

  async function tell(
    place: PartPlace,
    fates: readonly Fate[],
    end: End,
    further: readonly ScopeId[] = [],
  ): Promise<readonly Charged[] | 'untold'> {
    const { shard, holdId, home } = place;
    const taken = fates.map(({ takes }) => takes.filter(({ scopeId }) => names.shardOf(scopeId) === shard));
    const scopeIds = [...new Set([...taken.flat().map(({ scopeId }) => scopeId), ...further])];
    const told = {
      home,
      scopes: scopeIds.map(quoted),
      calls: fates.map(({ callId, became, tokens, costNanoUsd }, at) => ({
        id: quoted(callId),
        became,
        tokens,
        cost: costNanoUsd,
        takes: (taken[at] ?? []).map((take) => ({
          position: scopeIds.indexOf(take.scopeId) + 1,
          field: fieldOf(take),
        })),
      })),
      hasEnded: end !== undefined && 'hasEnded' in end,
      leaseEnds: end !== undefined && 'leaseEndsMs' in end ? end.leaseEndsMs : undefined,
    };
    const keys = [names.hold(shard, holdId), names.leases(shard), ...scopeIds.map(names.scope)];
    const reply = await runAct(context, followScript, keys, [], holdId, JSON.stringify(told));
    if (reply[0] === 'missing') return tell(place, fates, end, [...further, ...reply[2].map(readScope)]);
    if (reply[0] === 'untold') return 'untold';
    tellJumps(reply[1], scopeIds, notify);
    return reply[2].map((charged) => chargedBudgets(charged, scopeIds));
  }

  async function standing(home: HoldPlace, asked: readonly string[]) {
    const { shard, holdId } = home;
    const keys = [names.hold(shard, holdId), names.leases(shard)];
    const [isOpen, leaseEnds, isOver, calls] = await runAct(
      context,
      standScript,
      keys,
      [],
      holdId,
      ...asked.map(quoted),
    );
    const stands = calls.map(([callId, how, tokens, costNanoUsd, takes]) => ({
      callId: unquoted(callId),
      how,
      tokens,
      costNanoUsd,
      takes: takes === '' ? [] : readTakes(takes),
    }));
    return { isOpen: isOpen === 1, leaseEndsMs: Number(leaseEnds), isOver: isOver === 1, stands };
  }

  async function forget(home: HoldPlace, followed: readonly (readonly [callId: string, how: Stands])[]): Promise<void> {
    const keys = [names.hold(home.shard, home.holdId), names.leases(home.shard)];
    await context.run(forgetScript, keys, [home.holdId, ...followed.flatMap(([callId, how]) => [quoted(callId), how])]);
  }

  /** Of what a part has, and its home may not tell of any more, the part itself knows what it took. */
  async function tellAll(home: HoldPlace, shard: number, fates: readonly Fate[], end: End) {
    const place = { shard, holdId: home.holdId, home: home.shard };
    const told = await tell(place, fates, end);
    if (told !== 'untold') return told;
    const charged = await tell(place, fates, undefined);
    await resolve(place, home.shard, await readHold(context, place));
    return charged === 'untold' ? [] : charged;
  }

  /**
   * Has a part whose lease is over follow its hold, if that has ended or does not know it. `over`: the lease of the hold
   * is over, too, and it is yet to be ended.
   */
  async function resolve(place: HoldPlace, home: number, part: FoundHold): Promise<'followed' | 'over'> {
    const { holdId } = place;
    const calls = part.calls.map(({ hold }) => hold);
    // Its home may yet let in a call that came a moment ago.
    const late = calls.filter(({ atMs, leaseMs }) => atMs + leaseMs <= part.nowMs);
    const asked = late.map(({ callId }) => callId);
    const { isOpen, leaseEndsMs, isOver, stands } = await standing({ shard: home, holdId }, asked);
    if (isOpen && isOver) return 'over';
    const fates = calls.flatMap(({ callId, takes }) => {
      const known = stands.find((one) => one.callId === callId);
      if (known !== undefined) return fateOf({ ...known, takes });
      return isOpen ? [] : fateOf({ callId, how: 'u', tokens: 0, costNanoUsd: 0, takes });
    });
    await tell({ ...place, home }, fates, isOpen ? { leaseEndsMs } : { hasEnded: true });
    return 'followed';
  }

  /**
   * Tells other shards what became of calls just now; answers what each was charged there. One that cannot be told is
   * found, and told, within seconds of the hold's end.
   */
  async function tellOthers(
    home: HoldPlace,
    others: readonly number[],
    fates: readonly Fate[],
    end: End,
  ): Promise<readonly Charged[]> {
    if (others.length === 0) return fates.map(() => []);
    const told = await Promise.allSettled(others.map((shard) => tellAll(home, shard, fates, end)));
    if (told.every(({ status }) => status === 'fulfilled')) {
      const followed = fates.map(({ callId, became }) => [callId, letterOf(became)] as const);
      // Whoever comes later finds nothing left to do.
      await forget(home, followed).catch(() => undefined);
    }
    const charged = told.map((one) => (one.status === 'fulfilled' ? one.value : []));
    return fates.map((_, at) => charged.flatMap((ofShard) => ofShard[at] ?? []));
  }

  return {
    resolve,
    tellOthers,

    /** What the first call of a hold took elsewhere is given back now that another has its place. */
    async replaceFirst(hold: Hold): Promise<void> {
      const { holdId, takes } = hold;
      const home = names.homeOf(hold);
      const first = { callId: '', became: 'replaced', tokens: 0, costNanoUsd: 0, takes } as const;
      await tellOthers({ shard: home, holdId }, otherShards(names, takes, home), [first], undefined);
    },

    /** Takes back what a call took in shards that let it in before another did not. */
    async withdraw(
      { shard: home, holdId }: HoldPlace,
      shards: readonly number[],
      call: Pick<Fate, 'callId' | 'takes'>,
    ) {
      const withdrawn = { ...call, became: 'withdrawn', tokens: 0, costNanoUsd: 0 } as const;
      await Promise.all(shards.map((shard) => tell({ shard, holdId, home }, [withdrawn], undefined)));
    },

    /** Has all other shards follow a hold that has ended. */
    async repair(home: HoldPlace, others: readonly number[]): Promise<void> {
      const { isOpen, stands } = await standing(home, []);
      if (isOpen) return;
      const fates = stands.filter(({ takes }) => takes.length > 0).flatMap(fateOf);
      await Promise.all(others.map((shard) => tellAll(home, shard, fates, { hasEnded: true })));
      const followed = stands.map(({ callId, how }) => [callId, how] as const);
      await forget(home, followed);
    },
  };
}

export type Parts = ReturnType<typeof createParts>;

const becameOf = { s: 'settled', a: 'abandoned', c: 'cancelled', r: 'replaced', u: 'undone', o: undefined } as const;

function fateOf({ how, ...call }: Omit<Fate, 'became'> & { readonly how: Stands }): readonly Fate[] {
  const became = becameOf[how];
  return became === undefined ? [] : [{ ...call, became }];
}

function letterOf(became: Fate['became']): Stands {
  switch (became) {
    case 'settled':
      return 's';
    case 'abandoned':
      return 'a';
    case 'undone':
      return 'u';
    default:
      return 'c';
  }
}
