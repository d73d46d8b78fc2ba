import { type Accounting, createAccounting } from '../../ledger/accounting.ts';
import { type Admitting, admittedUntilMs, createAdmitting } from '../../ledger/admitting.ts';
import { createCounting } from '../../ledger/counting.ts';
import { createEnding, type Ending } from '../../ledger/ending.ts';
import type { AdmissionPlan, ScopeId } from '../../limits/limit.ts';
import type { UsageEvent } from '../../usage/usage.ts';
import type {
  Adjustment,
  AdmitRequest,
  AdmitVerdict,
  ExtendRequest,
  Hold,
  Ledger,
  SettleRequest,
  SettleResult,
  StoreNotice,
} from '../store.ts';
import type { Query } from './connection.ts';
import type { WorkingSet } from './working-set.ts';

/** A ledger over the rows that one transaction has locked. */
export interface LoadedLedger extends Admitting, Ending, Accounting {
  renew(hold: Hold, nowMs: number): Awaited<ReturnType<Ledger['renew']>>;
  /** Answers whether the act of this id was applied before; from now on it is. */
  isRepeated(id: string): boolean;
}

export function createLoadedLedger(
  { scopes, holds, usage, nonces }: WorkingSet,
  applied: Set<string>,
  notify: (notice: StoreNotice) => void,
): LoadedLedger {
  const counting = createCounting(scopes, notify);
  return {
    ...createAdmitting({ counting, holds, nonces }),
    ...createEnding({ counting, holds, usage, notify }),
    ...createAccounting(scopes, usage),
    renew({ holdId }, nowMs) {
      const open = holds.find(holdId);
      if (open === undefined) return { state: 'ended' };
      holds.renew(open, nowMs);
      return { state: 'renewed' };
    },
    isRepeated(id) {
      if (applied.has(id)) return true;
      applied.add(id);
      return false;
    },
  };
}

/** One act of the ledger: which rows it needs, and what it does with them. */
export interface Act<T> {
  readonly scopeIds: readonly ScopeId[];
  readonly holdIds: readonly string[];
  /** The hold that it opens: nearly always nobody knows it yet, so its row is looked for when it may be there only. */
  readonly opens?: string | undefined;
  /** Of an act that is applied once for its id. */
  readonly appliedId?: string | undefined;
  run(ledger: LoadedLedger, nowMs: number): T;
  /**
   * Until when the act comes to this result with the same rows. Only of acts that need no rows but scopes; a result that
   * may come of rows which are out of date lasts no time.
   */
  sameUntilMs?(result: T, nowMs: number): number;
  /** The answer as it is after the rows were written; `drawn` are the nonces of scopes that nobody knows. */
  finish?(result: T, drawn: ReadonlyMap<string, string>): T;
  /** Writes what belongs to the same transaction and is not the ledger's. */
  alongside?(result: T, query: Query): Promise<void>;
}

export function admitAct(request: AdmitRequest): Act<AdmitVerdict> {
  return {
    scopeIds: scopesOfPlan(request.plan),
    holdIds: [],
    opens: request.holdId,
    run(ledger, nowMs) {
      ledger.endExpired(nowMs, Infinity);
      return ledger.admit(request, nowMs);
    },
    sameUntilMs: ({ outcome }, nowMs) => (outcome === 'admitted' ? admittedUntilMs(request, nowMs) : nowMs),
    finish: withDrawn,
  };
}

export function extendAct(request: ExtendRequest): Act<AdmitVerdict> {
  return {
    scopeIds: [...scopesOfPlan(request.plan), ...scopesOfHold(request.hold)],
    holdIds: [request.hold.holdId],
    run(ledger, nowMs) {
      ledger.endExpired(nowMs, Infinity);
      return ledger.extend(request, nowMs);
    },
    finish: withDrawn,
  };
}

export function settleAct(request: SettleRequest): Act<SettleResult> {
  return { ...rowsOf(request.hold), run: (ledger, nowMs) => ledger.settle(request, nowMs) };
}

export function cancelAct(hold: Hold): Act<Awaited<ReturnType<Ledger['cancel']>>> {
  return { ...rowsOf(hold), run: (ledger, nowMs) => ledger.cancel(hold, nowMs) };
}

export function renewAct(hold: Hold): Act<Awaited<ReturnType<Ledger['renew']>>> {
  return {
    ...rowsOf(hold),
    run(ledger, nowMs) {
      ledger.endExpired(nowMs, Infinity);
      return ledger.renew(hold, nowMs);
    },
  };
}

/** Ends those of the holds whose lease is over still, now that their rows are locked. */
export function sweepAct(holdIds: readonly string[], scopeIds: readonly ScopeId[]): Act<number> {
  return { scopeIds, holdIds, run: (ledger, nowMs) => ledger.endExpired(nowMs, holdIds.length) };
}

export function adjustAct(
  adjustment: Adjustment,
  writeAudit: (query: Query) => Promise<void>,
): Act<Awaited<ReturnType<Ledger['adjust']>>> {
  return {
    scopeIds: [adjustment.scopeId],
    holdIds: [],
    appliedId: adjustment.id,
    run(ledger, nowMs) {
      if (ledger.isRepeated(adjustment.id)) return { state: 'already', adjustedNanoUsd: 0 };
      return { state: 'adjusted', adjustedNanoUsd: ledger.adjust(adjustment, nowMs) };
    },
    async alongside({ state }, query) {
      if (state === 'adjusted') await writeAudit(query);
    },
  };
}

export function recordAct(event: UsageEvent, plan: AdmissionPlan): Act<Awaited<ReturnType<Ledger['record']>>> {
  const id = `${event.holdId}/${event.callId}`;
  return {
    scopeIds: scopesOfPlan(plan),
    holdIds: [],
    appliedId: id,
    run(ledger, nowMs) {
      if (ledger.isRepeated(id)) return { state: 'already', charged: [] };
      return { state: 'recorded', charged: ledger.record(event, plan, nowMs) };
    },
  };
}

function rowsOf(hold: Hold): Pick<Act<unknown>, 'scopeIds' | 'holdIds'> {
  return { scopeIds: scopesOfHold(hold), holdIds: [hold.holdId] };
}

function scopesOfPlan({ scopes }: AdmissionPlan): readonly ScopeId[] {
  return scopes.map(({ scopeId }) => scopeId);
}

function scopesOfHold({ takes }: Hold): readonly ScopeId[] {
  return takes.map(({ scopeId }) => scopeId);
}

/** Another process may have drawn a nonce before: then it is that one. */
function withDrawn(verdict: AdmitVerdict, drawn: ReadonlyMap<string, string>): AdmitVerdict {
  if (verdict.outcome !== 'unseeded') return verdict;
  const scopes = verdict.scopes.map(({ scopeId, nonce }) => ({ scopeId, nonce: drawn.get(scopeId) ?? nonce }));
  return { outcome: 'unseeded', scopes };
}
