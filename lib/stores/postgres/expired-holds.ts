import type { ScopeId } from '../../limits/limit.ts';
import { sweepAct } from './acts.ts';
import type { Submit } from './batching.ts';
import type { PostgresConnection } from './connection.ts';
import { closedRetentionMs } from './fence.ts';
import { readCalls } from './hold-body.ts';

/** Holds that are ended in one transaction, which locks all of their scopes. */
const endedAtOnce = 64;
const forgottenAtOnce = 1000;
const maxForgetSteps = 20;

export interface ExpiredHolds {
  /** Ends holds whose lease is over, the oldest first, at most so many; answers how many. */
  end(limit: number): Promise<number>;
  /** Forgets what has been kept long enough, in bounded steps. */
  forget(): Promise<void>;
}

export function createExpiredHolds(
  { query, schema }: PostgresConnection,
  submit: Submit,
  now: () => Promise<number>,
): ExpiredHolds {
  async function endSome(limit: number): Promise<number> {
    // Without locks: the act locks their scopes first, as all acts do, and looks again.
    const rows = await query<{ id: string; body: string }>(
      `select id, body from ${schema}.holds where not has_ended and until_ms <= $1 order by until_ms, number limit $2`,
      [await now(), limit],
    );
    if (rows.length === 0) return 0;
    const scopeIds = new Set(rows.flatMap(({ id, body }) => scopesIn(id, body)));
    return submit(
      sweepAct(
        rows.map(({ id }) => id),
        [...scopeIds],
      ),
    );
  }

  return {
    async end(limit) {
      let ended = 0;
      while (ended < limit) {
        const some = await endSome(Math.min(limit - ended, endedAtOnce));
        ended += some;
        if (some === 0) break;
      }
      return ended;
    },

    async forget() {
      const nowMs = await now();
      for (const [table, id, condition, before] of [
        ['holds', 'id', 'has_ended and until_ms <= $1', nowMs],
        ['seed_nonces', 'scope_id', 'until_ms <= $1', nowMs],
        ['applied_acts', 'id', 'until_ms <= $1', nowMs],
        ['scopes', 'id', 'closed_at_ms <= $1', nowMs - closedRetentionMs],
      ] as const) {
        for (let step = 0; step < maxForgetSteps; step += 1) {
          // Rows that somebody works on are left for the next time.
          const forgotten = await query(
            `delete from ${schema}.${table} where ${id} in
(select ${id} from ${schema}.${table} where ${condition} limit ${forgottenAtOnce} for update skip locked) returning 1`,
            [before],
          );
          if (forgotten.length < forgottenAtOnce) break;
        }
      }
    },
  };
}

function scopesIn(holdId: string, body: string): readonly ScopeId[] {
  try {
    return readCalls(holdId, body).flatMap(({ hold }) => hold.takes.map(({ scopeId }) => scopeId));
  } catch {
    // Nobody knows what it held. The act finds so, too, and tells.
    return [];
  }
}
