import { createGenerations } from '../../generations.ts';
import { findBudget, openBudget } from '../../limits/counters.ts';
import type { ScopeId } from '../../limits/limit.ts';
import type {
  AdmitRequest,
  AdmitVerdict,
  ExtendRequest,
  Hold,
  Ledger,
  ScopeBalance,
  SettleRequest,
  SettleResult,
  StoreNotice,
} from '../store.ts';
import { createAdmitting } from './admitting.ts';
import { chargedBudget, createCounting } from './counting.ts';
import { createEnding } from './ending.ts';
import { adjustmentEvent } from './events.ts';
import { createHolds } from './holds.ts';
import type { Scopes } from './scopes.ts';
import type { UsageLog } from './usage-log.ts';

const dayMs = 86_400_000;

export interface MemoryLedgerOptions {
  readonly scopes: Scopes;
  readonly usageLog: UsageLog;
  readonly now: () => number;
  readonly notify: (notice: StoreNotice) => void;
  readonly maxEndedHolds: number;
}

/** Counters and holds in one process. Every act is synchronous, and so atomic. */
export interface MemoryLedger {
  admit(request: AdmitRequest): AdmitVerdict;
  extend(request: ExtendRequest): AdmitVerdict;
  settle(request: SettleRequest): SettleResult;
  cancel(hold: Hold): { readonly state: 'cancelled' | 'already' };
  renew(hold: Hold): { readonly state: 'renewed' | 'ended' };
  sweep(limit: number): number;
  balance(scopeId: ScopeId): ScopeBalance | undefined;
  adjust(adjustment: Parameters<Ledger['adjust']>[0]): Awaited<ReturnType<Ledger['adjust']>>;
  seed(...seed: Parameters<Ledger['seed']>): Awaited<ReturnType<Ledger['seed']>>;
  record(...usage: Parameters<Ledger['record']>): Awaited<ReturnType<Ledger['record']>>;
}

export function createLedger(options: MemoryLedgerOptions): MemoryLedger {
  const { scopes, usageLog, now, notify, maxEndedHolds } = options;
  const holds = createHolds(maxEndedHolds);
  const counting = createCounting(scopes, notify);
  const admitting = createAdmitting(counting, holds);
  const ending = createEnding({ counting, holds, usageLog, notify });
  const applied = createGenerations<true>({ maxSize: maxEndedHolds, retentionMs: dayMs });

  /** Whoever comes in finds no slot taken by a hold whose lease is over. */
  function present(): number {
    const nowMs = now();
    ending.endExpired(nowMs, Infinity);
    return nowMs;
  }

  return {
    admit: (request) => admitting.admit(request, present()),
    extend: (request) => admitting.extend(request, present()),
    settle: (request) => ending.settle(request, now()),
    cancel: (hold) => ending.cancel(hold, now()),
    sweep: (limit) => ending.endExpired(now(), limit),
    balance: (scopeId) => counting.balance(scopeId, now()),
    seed: (...seed) => admitting.seed(seed, now()),

    renew(hold) {
      const nowMs = present();
      const open = holds.find(hold.holdId);
      if (open === undefined) return { state: 'ended' };
      holds.renew(open, nowMs);
      return { state: 'renewed' };
    },

    adjust({ id, scopeId, budgets, subject }) {
      const nowMs = now();
      if (applied.get(id)) return { state: 'already', adjustedNanoUsd: 0 };
      applied.set(id, true, nowMs);
      const counters = scopes.find(scopeId);
      const adjusted = budgets.map(({ budgetId, periodStartMs }) => {
        const budget = counters && findBudget(counters, budgetId, periodStartMs);
        const spent = budget?.spentNanoUsd ?? 0;
        if (budget !== undefined) budget.spentNanoUsd = 0;
        return spent;
      });
      const adjustedNanoUsd = adjusted[0] ?? 0;
      if (adjustedNanoUsd !== 0) {
        usageLog.append(adjustmentEvent(id, subject, -adjustedNanoUsd, nowMs));
      }
      return { state: 'adjusted', adjustedNanoUsd };
    },

    record(event, plan) {
      const name = `${event.holdId}/${event.callId}`;
      if (applied.get(name)) return { state: 'already', charged: [] };
      const nowMs = now();
      applied.set(name, true, nowMs);
      const charged = plan.limits.flatMap((limit) => {
        const counters = scopes.find(limit.scopeId);
        if (limit.measure !== 'budget' || counters === undefined || event.costNanoUsd === 0) return [];
        const budget = openBudget(counters, limit.id, limit, nowMs);
        budget.spentNanoUsd += event.costNanoUsd;
        return [chargedBudget(counters, budget)];
      });
      usageLog.append(event);
      return { state: 'recorded', charged };
    },
  };
}
