import { randomUUID } from 'node:crypto';
import type { OutboxRow, Records } from '../store.ts';
import type { PostgresConnection, Query } from './connection.ts';

export interface Outbox extends Pick<Records, 'readOutbox' | 'clearOutbox'> {
  /** Marks a key in the transaction of its change; the row of an earlier one gives way. */
  write(
    query: Query,
    mark: { readonly keyId: string; readonly revision: number; readonly atMs: number },
  ): Promise<void>;
}

export function createOutbox({ query, schema }: PostgresConnection): Outbox {
  return {
    async write(within, { keyId, revision, atMs }) {
      await within(
        `insert into ${schema}.outbox (key_id, id, sequence, revision, at_ms)
values ($1, $2, nextval($3::regclass), $4, $5)
on conflict (key_id) do update
set id = excluded.id, sequence = excluded.sequence, revision = excluded.revision, at_ms = excluded.at_ms`,
        [keyId, randomUUID(), `${schema}.outbox_sequence`, revision, atMs],
      );
    },

    async readOutbox(limit) {
      const rows = await query<{ id: string; key_id: string; revision: string; at_ms: string }>(
        `select id, key_id, revision, at_ms from ${schema}.outbox order by sequence limit $1`,
        [limit],
      );
      return rows.map(
        ({ id, key_id, revision, at_ms }): OutboxRow => ({
          id,
          keyId: key_id,
          revision: Number(revision),
          atMs: Number(at_ms),
        }),
      );
    },

    async clearOutbox(rows) {
      await query(
        `delete from ${schema}.outbox o using unnest($1::text[], $2::text[]) as read (key_id, id)
where o.key_id = read.key_id and o.id = read.id`,
        [rows.map(({ keyId }) => keyId), rows.map(({ id }) => id)],
      );
    },
  };
}
