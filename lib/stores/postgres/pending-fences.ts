import type { ScopeId } from '../../limits/limit.ts';
import type { CombinableRecords, Fence } from '../combinable.ts';
import type { PostgresConnection, Query } from './connection.ts';

export interface PendingFences extends Pick<CombinableRecords, 'pendingFences' | 'clearFences'> {
  /** Leaves a fence for the ledger of another store, in the transaction of the change. */
  write(query: Query, fence: Omit<Fence, 'id'>): Promise<void>;
}

export function createPendingFences({ query, schema }: PostgresConnection): PendingFences {
  return {
    async write(within, { scopeId, revision, isNew, isClosed, carries }) {
      await within(
        `insert into ${schema}.fences (scope_id, revision, is_new, is_closed, carries) values ($1, $2, $3, $4, $5)`,
        [scopeId, revision, isNew, isClosed, JSON.stringify(carries)],
      );
    },

    async pendingFences(limit) {
      const rows = await query<Row>(`select * from ${schema}.fences order by sequence limit $1`, [limit]);
      return rows.map(({ sequence, scope_id, revision, is_new, is_closed, carries }) => ({
        id: String(sequence),
        scopeId: scope_id,
        revision: Number(revision),
        isNew: is_new,
        isClosed: is_closed,
        carries,
      }));
    },

    async clearFences(ids) {
      await query(`delete from ${schema}.fences where sequence = any($1::bigint[])`, [ids.filter(isSequence)]);
    },
  };
}

function isSequence(id: string): boolean {
  return /^[0-9]{1,18}$/.test(id);
}

interface Row {
  readonly sequence: string;
  readonly scope_id: ScopeId;
  readonly revision: string;
  readonly is_new: boolean;
  readonly is_closed: boolean;
  readonly carries: Fence['carries'];
}
