import { keyStatuses, type VirtualKeyRecord } from '../../keys/virtual-key.ts';
import type { KeyCounts, KeyFilter, Records, StoreNotice } from '../store.ts';
import { addAnyOf, type Conditions, createConditions, isStorable } from './conditions.ts';
import type { PostgresConnection } from './connection.ts';
import { type KeyRow, keyColumns, readKey } from './key-row.ts';
import { statusSql } from './key-status.ts';
import { clockMsSql, type InjectedClock } from './now.ts';
import { listPage } from './paged-list.ts';

export interface KeyListsOptions {
  readonly connection: PostgresConnection;
  readonly clock: InjectedClock;
  readonly notify: (notice: StoreNotice) => void;
}

export function createKeyLists({
  connection,
  clock,
  notify,
}: KeyListsOptions): Pick<Records, 'listKeys' | 'countKeys'> {
  const { query, schema } = connection;
  const table = `${schema}.keys`;

  /** SQL for the time of the store: worked out once for a statement, and not for each of a million rows. */
  function now(): string {
    const injected = clock()?.();
    return injected === undefined ? `(select ${clockMsSql})` : String(Math.trunc(injected));
  }

  function conditionsOf(filter: KeyFilter): Conditions {
    const { models, status, ownerIds, teamIds, tag, search } = filter;
    const conditions = createConditions();
    addAnyOf(conditions, 'owner_id', ownerIds);
    addAnyOf(conditions, 'team_id', teamIds);
    if (models !== undefined) {
      conditions.add(
        `exists (select from ${schema}.key_models m where m.key_id = k.id and m.model = any(?::text[]))`,
        models.filter(isStorable),
      );
    }
    if (tag !== undefined) conditions.add('tags @> ?::text[] and cardinality(?::text[]) > 0', [tag].filter(isStorable));
    if (search !== undefined) addSearch(conditions, search);
    if (status !== undefined) conditions.require(statusSql[status](now()));
    return conditions;
  }

  return {
    async listKeys(filter, page) {
      return listPage<KeyRow, VirtualKeyRecord>(connection, {
        columns: keyColumns(schema),
        table,
        conditions: conditionsOf(filter),
        order: ['created_at_ms', 'id'],
        page,
        positionOf: ({ created_at_ms, id }) => ({ atMs: Number(created_at_ms), id }),
        read(row) {
          const record = readKey(row);
          if (record === undefined) notify({ type: 'corrupt', scopeId: `key:${row.id}` });
          return record;
        },
      });
    },

    async countKeys(filter) {
      const conditions = conditionsOf(filter);
      const moment = now();
      const counts = keyStatuses.map((status) => `count(*) filter (where ${statusSql[status](moment)}) as ${status}`);
      const [row] = await query<{ [status in keyof KeyCounts]: string }>(
        `select ${counts.join(', ')}, count(*) as total from ${table} k where ${conditions.sql()}`,
        conditions.values,
      );
      return {
        active: Number(row?.active),
        disabled: Number(row?.disabled),
        expired: Number(row?.expired),
        revoked: Number(row?.revoked),
        total: Number(row?.total),
      };
    },
  };
}

function addSearch(conditions: Conditions, search: string): void {
  if (!isStorable(search)) conditions.require('false');
  else conditions.add('search_text like ?', `%${search.toLowerCase().replace(/[\\%_]/g, '\\$&')}%`);
}
