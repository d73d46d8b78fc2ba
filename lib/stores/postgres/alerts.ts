import type { Alert, AlertRow, Records } from '../store.ts';
import { addAnyOf, createConditions } from './conditions.ts';
import type { PostgresConnection } from './connection.ts';
import { type InjectedClock, nowSql } from './now.ts';
import { listPage } from './paged-list.ts';

export function createAlertRows(
  connection: PostgresConnection,
  clock: InjectedClock,
): Pick<Records, 'insertAlert' | 'listAlerts'> {
  const table = `${connection.schema}.alerts`;
  return {
    async insertAlert(alert) {
      const { id, type, scopeId, ownerId, teamId, keyId, model, budget } = alert;
      const [row] = await connection.query<{ at_ms: string }>(
        `insert into ${table} (id, type, scope_id, owner_id, team_id, key_id, model, budget, at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8, ${nowSql(9)}) on conflict (id) do nothing returning at_ms`,
        [id, type, scopeId, ownerId, teamId, keyId, model, budget && JSON.stringify(budget), clock()?.() ?? null],
      );
      return row === undefined
        ? { outcome: 'exists' }
        : { outcome: 'inserted', row: { ...alert, atMs: Number(row.at_ms) } };
    },

    async listAlerts({ types, scopeIds, ownerIds, teamIds }, page) {
      const conditions = createConditions();
      addAnyOf(conditions, 'type', types);
      addAnyOf(conditions, 'scope_id', scopeIds);
      addAnyOf(conditions, 'owner_id', ownerIds);
      addAnyOf(conditions, 'team_id', teamIds);
      return listPage<Row, AlertRow>(connection, {
        columns: '*',
        table,
        conditions,
        order: ['at_ms', 'id'],
        page,
        positionOf: ({ at_ms, id }) => ({ atMs: Number(at_ms), id }),
        read: readAlert,
      });
    },
  };
}

interface Row extends Pick<Alert, 'id' | 'type' | 'model' | 'budget'> {
  readonly scope_id: Alert['scopeId'];
  readonly owner_id: string | null;
  readonly team_id: string | null;
  readonly key_id: string;
  readonly at_ms: string;
}

function readAlert({ id, type, scope_id, owner_id, team_id, key_id, model, budget, at_ms }: Row): AlertRow {
  return {
    id,
    type,
    scopeId: scope_id,
    ownerId: owner_id,
    teamId: team_id,
    keyId: key_id,
    model,
    budget,
    atMs: Number(at_ms),
  };
}
