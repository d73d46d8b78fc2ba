import { randomUUID } from 'node:crypto';
import type { ClaimedRow, OutboxRow, Records } from '../store.ts';
import { isStorable } from './conditions.ts';
import type { PostgresConnection, Query } from './connection.ts';
import { type InjectedClock, nowSql } from './now.ts';

export interface Outbox
  extends Pick<
    Records,
    'readOutbox' | 'clearOutbox' | 'enqueueOutbox' | 'claimOutbox' | 'deferOutbox' | 'outboxBacklog'
  > {
  /** Marks a key in the transaction of its change: the row of an earlier one gives way, and a lease on it stays. */
  write(
    query: Query,
    mark: { readonly keyId: string; readonly revision: number; readonly atMs: number },
  ): Promise<void>;
}

export function createOutbox({ query, schema }: PostgresConnection, clock: InjectedClock): Outbox {
  const table = `${schema}.outbox`;
  const sequence = `${schema}.outbox_sequence`;
  const givenMs = () => clock()?.() ?? null;

  return {
    async write(within, { keyId, revision, atMs }) {
      await within(
        `insert into ${table} (key_id, id, sequence, revision, at_ms, due_at_ms)
values ($1, $2, nextval($3::regclass), $4, $5, $5)
on conflict (key_id) do update set (id, sequence, revision, at_ms, due_at_ms, attempts) =
  (excluded.id, excluded.sequence, excluded.revision, excluded.at_ms, excluded.due_at_ms, 0)`,
        [keyId, randomUUID(), sequence, revision, atMs],
      );
    },

    async readOutbox(limit) {
      const rows = await query<Row>(
        `select id, key_id, revision, at_ms from ${table} order by claimable_from_ms, sequence limit $1`,
        [limit],
      );
      return rows.map(readRow);
    },

    async clearOutbox(rows) {
      // What is decided of a row is decided by what it is once it is locked; the statement began with an older sight of it.
      await query(
        `with cleared as (
  select * from unnest($1::text[], $2::text[], $3::text[]) as cleared (key_id, id, lease_id)
), found as (
  select key_id, o.id = cleared.id as is_same, o.lease_id = cleared.lease_id as is_theirs, cleared.lease_id is null as is_any
  from ${table} o join cleared using (key_id) order by key_id for update of o
), removed as (
  delete from ${table} o using found
  where o.key_id = found.key_id and is_same and (is_any or is_theirs)
)
update ${table} o set lease_id = null, lease_ends_at_ms = null from found
where o.key_id = found.key_id and not is_same and is_theirs`,
        [
          rows.map(({ keyId }) => keyId),
          rows.map(({ id }) => id),
          rows.map((row) => ('leaseId' in row ? row.leaseId : null)),
        ],
      );
    },

    async enqueueOutbox(keyIds, delayMs) {
      // Locked in one order, so that several may enqueue the same keys at once.
      await query(
        `insert into ${table} (key_id, id, sequence, revision, at_ms, due_at_ms)
select key_id, gen_random_uuid(), nextval($2::regclass), 0, now_ms, now_ms + $4::bigint
from (select distinct unnest($1::text[]) collate "C" as key_id order by key_id) keys, (select ${nowSql(3)} as now_ms) clock
on conflict (key_id) do update set (id, sequence, at_ms, due_at_ms, attempts) =
  (excluded.id, excluded.sequence, excluded.at_ms, least(outbox.due_at_ms, excluded.due_at_ms), 0)`,
        [[...keyIds], sequence, givenMs(), Math.ceil(delayMs)],
      );
    },

    async claimOutbox(limit, leaseMs, keyIds) {
      const only = keyIds?.filter(isStorable);
      if (only?.length === 0) return [];
      const rows = await query<ClaimedColumns>(
        `with clock as materialized (select ${nowSql(1)} as now_ms), due as (
  select key_id, claimable_from_ms, sequence, lease_id is not null as is_taken_over from ${table}
  where claimable_from_ms <= (select now_ms from clock) ${only === undefined ? '' : 'and key_id = any($4::text[])'}
  order by claimable_from_ms, sequence limit $2 for update skip locked
), claimed as (
  update ${table} o set attempts = attempts + 1, due_at_ms = null,
    lease_id = gen_random_uuid(), lease_ends_at_ms = (select now_ms from clock) + $3::bigint
  from due where o.key_id = due.key_id
  returning o.id, o.key_id, revision, at_ms, o.lease_id, attempts, is_taken_over, due.claimable_from_ms, due.sequence
)
select * from claimed order by claimable_from_ms, sequence`,
        [givenMs(), limit, Math.ceil(leaseMs), ...(only === undefined ? [] : [only])],
      );
      return rows.map(
        (row): ClaimedRow => ({
          ...readRow(row),
          leaseId: row.lease_id,
          attempts: row.attempts,
          isTakenOver: row.is_taken_over,
        }),
      );
    },

    async deferOutbox({ keyId, id, leaseId }, delayMs) {
      await query(
        `update ${table} set lease_id = null, lease_ends_at_ms = null,
  due_at_ms = case when id = $2 then ${nowSql(4)} + $5::bigint else due_at_ms end
where key_id = $1 and lease_id = $3`,
        [keyId, id, leaseId, givenMs(), Math.ceil(delayMs)],
      );
    },

    async outboxBacklog() {
      const [row] = await query<{ due: string; claimed: string; not_due: string }>(
        // Each count is of one range of an index: rows that are put off may be as many as there are keys.
        `with clock as materialized (select ${nowSql(1)} as now_ms)
select (select count(*) from ${table} where claimable_from_ms <= (select now_ms from clock)) as due,
  (select count(*) from ${table} where claimable_from_ms > (select now_ms from clock)) as not_due,
  (select count(*) from ${table} where lease_ends_at_ms > (select now_ms from clock)) as claimed`,
        [givenMs()],
      );
      const claimed = Number(row?.claimed);
      // A lease that lasts is what its row waits for.
      return { due: Number(row?.due), claimed, later: Number(row?.not_due) - claimed };
    },
  };
}

interface Row {
  readonly id: string;
  readonly key_id: string;
  readonly revision: string;
  readonly at_ms: string;
}

interface ClaimedColumns extends Row {
  readonly lease_id: string;
  readonly attempts: number;
  readonly is_taken_over: boolean;
}

function readRow({ id, key_id, revision, at_ms }: Row): OutboxRow {
  return { id, keyId: key_id, revision: Number(revision), atMs: Number(at_ms) };
}
