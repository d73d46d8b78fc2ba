import { createCounting } from '../../ledger/counting.ts';
import type { AdmissionPlan, ScopeId } from '../../limits/limit.ts';
import type { CombinableLedger } from '../combinable.ts';
import type { AdmitVerdict, AuditEntry, Clock, Ledger, Logger, ScopeBalance, StoreNotice } from '../store.ts';
import { adjustAct, admitAct, cancelAct, extendAct, recordAct, renewAct, settleAct } from './acts.ts';
import { createRunBatch } from './batch.ts';
import { createSubmit } from './batching.ts';
import type { PostgresConnection, Query } from './connection.ts';
import { createExpiredHolds } from './expired-holds.ts';
import { raiseFence, seedScope } from './fence.ts';
import { createUsageRecord } from './usage-record.ts';
import { createWorkingSet, type ScopeRow } from './working-set.ts';

/** Holds that a refused admission looks for, so that none of them keeps what it asks for. */
const endedOnRefusal = 1000;

export interface PostgresLedgerOptions {
  readonly connection: PostgresConnection;
  /** Whether it is sure that a connection stays with its session of the server, which no pooler in between has taken. */
  readonly hasSessions: () => boolean;
  /** In place of the database's clock. */
  readonly clock: () => Clock | undefined;
  readonly notify: (notice: StoreNotice) => void;
  readonly logger: () => Logger | undefined;
  /** Writes an audit row in the transaction of the adjustment that it tells of. */
  readonly appendAudit: (query: Query, entry: AuditEntry) => Promise<void>;
}

/** Counters, holds and usage in Postgres, and what makes it the ledger of a combined store. */
export type PostgresLedger = Ledger & Pick<CombinableLedger, 'fence' | 'trimUsage' | 'countUsage'>;

export function createPostgresLedger(options: PostgresLedgerOptions): PostgresLedger {
  const { connection, hasSessions, clock, notify, logger, appendAudit } = options;
  const { query, transaction, schema } = connection;
  const submit = createSubmit(createRunBatch({ connection, hasSessions, clock, notify, onCorrupt }));
  const expired = createExpiredHolds(connection, submit, now);
  const { usage, usageEvents, trimUsage, countUsage } = createUsageRecord(connection);
  let ending: Promise<number> | undefined;

  function onCorrupt(table: 'scopes' | 'holds', id: string, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    logger()?.error(`Row ${JSON.stringify(id)} of ${table} cannot be read (${reason}): it admits nothing`);
    if (table === 'scopes') notify({ type: 'corrupt', scopeId: id as ScopeId });
  }

  async function now(): Promise<number> {
    const injected = clock();
    if (injected !== undefined) return injected();
    const [row] = await query<{ now_ms: string }>(
      'select floor(extract(epoch from clock_timestamp()) * 1000) as now_ms',
    );
    return Number(row?.now_ms);
  }

  /** Many who are refused at once look for expired holds once. */
  function endExpired(): Promise<number> {
    ending ??= expired.end(endedOnRefusal).finally(() => {
      ending = undefined;
    });
    return ending;
  }

  /** Whoever is refused what an expired hold may keep asks again when it has ended. */
  async function askTwice(ask: () => Promise<AdmitVerdict>, plan: AdmissionPlan): Promise<AdmitVerdict> {
    const verdict = await ask();
    if (!mayBeFreed(verdict, plan) || (await endExpired()) === 0) return verdict;
    return ask();
  }

  return {
    admit: (request) => askTwice(() => submit(admitAct(request)), request.plan),
    extend: (request) => askTwice(() => submit(extendAct(request)), request.plan),
    settle: (request) => submit(settleAct(request)),
    cancel: (hold) => submit(cancelAct(hold)),
    renew: (hold) => submit(renewAct(hold)),

    async sweep(limit) {
      const ended = await expired.end(limit);
      await expired.forget();
      return ended;
    },

    async balances(scopeIds) {
      const nowMs = await now();
      const rows = await query<ScopeRow>(`select id, state from ${schema}.scopes where id = any($1::text[])`, [
        [...scopeIds],
      ]);
      const { scopes } = createWorkingSet({ scopes: rows, holds: [] }, onCorrupt);
      const counting = createCounting(scopes, () => undefined);
      return scopeIds.flatMap((scopeId): readonly ScopeBalance[] => {
        const balance = counting.balance(scopeId, nowMs);
        return balance === undefined ? [] : [balance];
      });
    },

    adjust: (adjustment) => submit(adjustAct(adjustment, (within) => appendAudit(within, adjustment.audit))),
    record: (event, plan) => submit(recordAct(event, plan)),

    async seed(scopeId, nonce, revision, openings) {
      const nowMs = await now();
      const seed = { scopeId, nonce, revision, openings };
      return { state: await transaction((within) => seedScope(within, schema, seed, nowMs)) };
    },

    async fence(fence) {
      const nowMs = await now();
      return { state: await transaction((within) => raiseFence(within, schema, fence, nowMs)) };
    },

    usage,
    usageEvents,
    trimUsage,
    countUsage,
  };
}

/** Requests stay counted, whatever ends. */
function mayBeFreed(verdict: AdmitVerdict, plan: AdmissionPlan): boolean {
  if (verdict.outcome !== 'refused' || verdict.by === 'max_tokens') return false;
  const limit = plan.limits[verdict.by];
  return limit !== undefined && limit.measure !== 'requests' && limit.limit !== 0;
}
