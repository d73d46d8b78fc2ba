import { randomUUID } from 'node:crypto';
import { createGenerations } from '../../generations.ts';
import { createAccounting } from '../../ledger/accounting.ts';
import { createAdmitting } from '../../ledger/admitting.ts';
import { createCounting } from '../../ledger/counting.ts';
import { createEnding } from '../../ledger/ending.ts';
import type { ScopeId } from '../../limits/limit.ts';
import type { CombinableLedger } from '../combinable.ts';
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
import { createHolds } from './holds.ts';
import type { MemoryScopes } from './scopes.ts';
import type { UsageLog } from './usage-log.ts';

const dayMs = 86_400_000;

export interface MemoryLedgerOptions {
  readonly scopes: MemoryScopes;
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
  fence(...fence: Parameters<CombinableLedger['fence']>): Awaited<ReturnType<CombinableLedger['fence']>>;
}

export function createLedger(options: MemoryLedgerOptions): MemoryLedger {
  const { scopes, usageLog, now, notify, maxEndedHolds } = options;
  const holds = createHolds(maxEndedHolds);
  const counting = createCounting(scopes, notify);
  const nonces = createGenerations<string>({ maxSize: 10_000, retentionMs: dayMs });
  const admitting = createAdmitting({ counting, holds, nonces: { draw: drawNonce } });
  const ending = createEnding({ counting, holds, usage: usageLog, notify });
  const accounting = createAccounting(scopes, usageLog);
  const applied = createGenerations<true>({ maxSize: maxEndedHolds, retentionMs: dayMs });

  function drawNonce(scopeId: ScopeId, nowMs: number): string {
    const nonce = nonces.get(scopeId) ?? randomUUID();
    nonces.set(scopeId, nonce, nowMs);
    return nonce;
  }

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

    renew(hold) {
      const nowMs = present();
      const open = holds.find(hold.holdId);
      if (open === undefined) return { state: 'ended' };
      holds.renew(open, nowMs);
      return { state: 'renewed' };
    },

    seed(scopeId, nonce, revision, openings) {
      if (scopes.find(scopeId) !== undefined || nonces.get(scopeId) !== nonce) return { state: 'superseded' };
      scopes.fence(scopeId, revision, openings, now());
      return { state: 'seeded' };
    },

    fence({ scopeId, revision, isNew, isClosed, carries }) {
      const known = scopes.find(scopeId);
      if (known === undefined && !isNew && !isClosed) {
        nonces.delete(scopeId);
        return { state: 'unknown' };
      }
      // Not by the revision: a call judged by a change may have brought that of a later one, and carries nothing over.
      if (known !== undefined && known.carriedRevision >= revision) return { state: 'already' };
      if (isClosed) scopes.close(scopeId, revision, now());
      else scopes.fence(scopeId, revision, carries, now());
      return { state: 'fenced' };
    },

    adjust(adjustment) {
      const nowMs = now();
      if (applied.get(adjustment.id)) return { state: 'already', adjustedNanoUsd: 0 };
      applied.set(adjustment.id, true, nowMs);
      return { state: 'adjusted', adjustedNanoUsd: accounting.adjust(adjustment, nowMs) };
    },

    record(event, plan) {
      const name = `${event.holdId}/${event.callId}`;
      if (applied.get(name)) return { state: 'already', charged: [] };
      const nowMs = now();
      applied.set(name, true, nowMs);
      return { state: 'recorded', charged: accounting.record(event, plan, nowMs) };
    },
  };
}
