import type { ScopeId } from '../../limits/limit.ts';
import type { Logger, StoreNotice } from '../store.ts';
import { backoffMs } from './backoff.ts';
import type { ChangeLog } from './change-log.ts';
import type { PostgresConnection } from './connection.ts';

export interface PollerOptions {
  readonly connection: PostgresConnection;
  readonly changeLog: ChangeLog;
  readonly pollMs: number;
  readonly notify: (notice: StoreNotice) => void;
  readonly logger: Logger;
}

/** Changes are kept for an hour; whoever has not asked for so long may have missed some. */
const keptMs = 3_600_000;

/**
 * Asks for the changes of other processes now and then, where a pooler in transaction mode keeps notices away.
 *
 * @returns ends it
 */
export function startPoller({ connection, changeLog, pollMs, notify, logger }: PollerOptions): () => Promise<void> {
  const { query, schema } = connection;
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;
  let failures = 0;
  let askedAtMs: number | undefined;
  /** Transactions from this one on may have been open when it was last asked, so that their changes were not seen. */
  let horizon: string | undefined;
  let seen = new Set<string>();
  let polling = poll();

  async function poll(): Promise<void> {
    try {
      await ask();
      failures = 0;
    } catch (error) {
      failures += 1;
      const reason = error instanceof Error ? error.message : String(error);
      if (failures === 1) logger.warn(`Changes of other processes are not heard of: ${reason}`);
    }
    if (isClosed) return;
    timer = setTimeout(
      () => {
        polling = poll();
      },
      failures === 0 ? pollMs : Math.max(pollMs, backoffMs(failures)),
    );
    timer.unref();
  }

  async function ask(): Promise<void> {
    const beganAtMs = performance.now();
    const [snapshot] = await query<{ horizon: string }>(
      'select pg_snapshot_xmin(pg_current_snapshot())::text as horizon',
    );
    const hasMissed = askedAtMs === undefined || beganAtMs - askedAtMs > keptMs / 2;
    if (horizon === undefined || hasMissed) notify({ type: 'missed' });
    else await tellSince(horizon);
    horizon = snapshot?.horizon;
    askedAtMs = beganAtMs;
  }

  async function tellSince(from: string): Promise<void> {
    const rows = await query<ChangeRow>(
      `select sequence, sender, scope_id, revision from ${schema}.changes where transaction_id >= $1::xid8 order by sequence`,
      [from],
    );
    for (const { sequence, sender, scope_id, revision } of rows) {
      if (seen.has(sequence) || sender === changeLog.sender) continue;
      notify({ type: 'changed', scopeId: scope_id, revision: Number(revision) });
    }
    seen = new Set(rows.map(({ sequence }) => sequence));
  }

  return async () => {
    isClosed = true;
    clearTimeout(timer);
    await polling;
  };
}

interface ChangeRow {
  readonly sequence: string;
  readonly sender: string;
  readonly scope_id: ScopeId;
  readonly revision: string;
}
