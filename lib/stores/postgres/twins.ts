import type { Records, TwinRow, TwinState } from '../store.ts';
import { noTwins } from '../twin-counts.ts';
import { isStorable } from './conditions.ts';
import type { PostgresConnection } from './connection.ts';

/** What a mirror keeps of each key. */
export function createTwins({
  query,
  schema,
}: PostgresConnection): Pick<Records, 'findTwins' | 'putTwin' | 'removeTwin' | 'countTwins'> {
  const table = `${schema}.twins`;
  return {
    async findTwins(keyIds) {
      const storable = keyIds.filter(isStorable);
      if (storable.length === 0) return [];
      const rows = await query<Row>(
        `select key_id, state, details, version from ${table} where key_id = any($1::text[])`,
        [storable],
      );
      return rows.map(readTwin);
    },

    async putTwin({ keyId, state, details, version }) {
      const rows = await query(
        version === 1
          ? `insert into ${table} (key_id, state, details, version) values ($1, $2, $3, $4)
on conflict (key_id) do nothing returning key_id`
          : `update ${table} set (state, details, version) = ($2, $3, $4) where key_id = $1 and version = $4 - 1
returning key_id`,
        [keyId, state, JSON.stringify(details), version],
      );
      return { outcome: rows.length === 1 ? 'stored' : 'version_conflict' };
    },

    async removeTwin(keyId, version) {
      if (!isStorable(keyId)) return { outcome: 'version_conflict' };
      const rows = await query(`delete from ${table} where key_id = $1 and version = $2 returning key_id`, [
        keyId,
        version,
      ]);
      return { outcome: rows.length === 1 ? 'removed' : 'version_conflict' };
    },

    async countTwins() {
      const rows = await query<{ state: TwinState; twins: string }>(
        `select state, count(*) as twins from ${table} group by state`,
      );
      const counts = { ...noTwins };
      for (const { state, twins } of rows) counts[state] = Number(twins);
      return counts;
    },
  };
}

interface Row {
  readonly key_id: string;
  readonly state: TwinState;
  readonly details: unknown;
  readonly version: string;
}

/** Details that were edited into nonsense are none. */
function readTwin({ key_id, state, details, version }: Row): TwinRow {
  const isObject = typeof details === 'object' && details !== null;
  return { keyId: key_id, state, details: isObject ? { ...details } : {}, version: Number(version) };
}
