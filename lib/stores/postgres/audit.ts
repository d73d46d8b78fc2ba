import type { AuditEntry, AuditRow, Records } from '../store.ts';
import { addAnyOf, createConditions } from './conditions.ts';
import type { PostgresConnection, Query } from './connection.ts';
import { type InjectedClock, readNow } from './now.ts';
import { listPage } from './paged-list.ts';

export interface AuditLog extends Pick<Records, 'appendAudit' | 'listAudit'> {
  /** Writes a row in the transaction of what it tells of. */
  write(query: Query, entry: AuditEntry, nowMs: number): Promise<void>;
}

export function createAuditLog(connection: PostgresConnection, clock: InjectedClock): AuditLog {
  const table = `${connection.schema}.audit`;

  async function write(query: Query, entry: AuditEntry, nowMs: number): Promise<void> {
    const { id, target, action, actor, before, after, reason } = entry;
    const texts = [actor, before, after, reason].map((value) => JSON.stringify(value));
    await query(
      `insert into ${table} (id, target, action, actor, before, after, reason, at_ms) values ($1, $2, $3, $4, $5, $6, $7, $8)`,
      [id, target, action, ...texts, nowMs],
    );
  }

  return {
    write,
    async appendAudit(entry) {
      await connection.transaction(async (query) => {
        // Those who add the same row at once do so one after the other, and see it.
        await query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [entry.id]);
        const [known] = await query(`select 1 from ${table} where target = $1 and id = $2 limit 1`, [
          entry.target,
          entry.id,
        ]);
        if (known === undefined) await write(query, entry, await readNow(query, clock));
      });
    },
    async listAudit({ targets, action }, page) {
      const conditions = createConditions();
      addAnyOf(conditions, 'target', targets);
      addAnyOf(conditions, 'action', action === undefined ? undefined : [action]);
      return listPage<Row, AuditRow>(connection, {
        columns: '*',
        table,
        conditions,
        // Rows of one millisecond keep the order in which they were written.
        order: ['sequence'],
        page,
        positionOf: ({ sequence }) => ({ atMs: Number(sequence), id: '' }),
        read: ({ sequence, at_ms, ...entry }) => ({ ...entry, atMs: Number(at_ms) }),
      });
    },
  };
}

interface Row extends AuditEntry {
  readonly sequence: string;
  readonly at_ms: string;
}
