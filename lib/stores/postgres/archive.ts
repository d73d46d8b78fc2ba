import { isDeepStrictEqual } from 'node:util';
import type { UsageEvent } from '../../usage/usage.ts';
import type { CombinableRecords } from '../combinable.ts';
import type { PostgresConnection, Query } from './connection.ts';
import { eventColumns, eventValues, sumStatements } from './usage-lines.ts';
import { type EventRow, eventOf } from './usage-record.ts';
import type { UsageLine } from './working-set.ts';

/** Keeps the usage record of a ledger in another store. */
export type Archive = Pick<CombinableRecords, 'archivedUntil' | 'archiveUsage'>;

export function createArchive({ query, transaction, schema }: PostgresConnection): Archive {
  return {
    async archivedUntil() {
      return readMark(query, `select cursor from ${schema}.archive_mark`);
    },

    async archiveUsage(events, { from, to }) {
      return transaction(async (within) => {
        const mark = await readMark(within, `select cursor from ${schema}.archive_mark for update`);
        if (mark !== from) return { state: 'overtaken' };
        // Of two that begin the archive at once the second fails here, and finds the mark of the first.
        await within(
          from === null
            ? `insert into ${schema}.archive_mark (cursor) values ($1)`
            : `update ${schema}.archive_mark set cursor = $1`,
          [to],
        );
        await writeEvents(within, events);
        return { state: 'archived' };
      });
    },
  };

  async function writeEvents(within: Query, events: readonly UsageEvent[]): Promise<void> {
    const latest = new Map(events.map((event) => [nameOf(event), event]));
    const kept = await findKept(within, [...latest.values()]);
    const lines: UsageLine[] = [];
    for (const [name, event] of latest) {
      const replaced = kept.get(name) ?? null;
      // Events are read again where it is not sure that all of them were.
      if (replaced === null || !isDeepStrictEqual(event, replaced)) lines.push({ event, replaced });
    }
    if (lines.length === 0) return;
    await within(
      `insert into ${schema}.usage_events (${eventColumns}, is_correction)
values ${lines.map(({ event, replaced }) => eventValues(event, replaced !== null)).join(',')}
on conflict (hold_id, call_id, is_correction) do update set (${eventColumns}) = (${excluded})`,
    );
    for (const statement of sumStatements(schema, lines)) await within(statement);
  }

  /** The lines that stand for these calls. */
  async function findKept(within: Query, events: readonly UsageEvent[]): Promise<ReadonlyMap<string, UsageEvent>> {
    const rows = await within<EventRow>(
      `select e.* from ${schema}.usage_events e
join unnest($1::text[], $2::text[]) as asked (hold_id, call_id) on e.hold_id = asked.hold_id and e.call_id = asked.call_id
order by e.is_correction`,
      [events.map(({ holdId }) => holdId), events.map(({ callId }) => callId)],
    );
    return new Map(rows.map(eventOf).map((event) => [nameOf(event), event]));
  }
}

const excluded = eventColumns.replace(/\w+/g, 'excluded.$&');

async function readMark(query: Query, sql: string): Promise<string | null> {
  const [row] = await query<{ cursor: string }>(sql);
  return row?.cursor ?? null;
}

function nameOf({ holdId, callId }: UsageEvent): string {
  return JSON.stringify([holdId, callId]);
}
