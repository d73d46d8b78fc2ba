import { comesBefore, cutPage } from '../cursor.ts';
import type { AlertQuery, AlertRow, Records } from '../store.ts';

export interface MemoryAlertsOptions {
  readonly now: () => number;
  readonly maxAlerts: number;
}

/** The latest alerts, each once. One that was forgotten for newer ones would be new again. */
export function createAlertRows({ now, maxAlerts }: MemoryAlertsOptions): Pick<Records, 'insertAlert' | 'listAlerts'> {
  const rows = new Map<string, AlertRow>();

  // A tenth at once: taking the oldest of a Map one by one walks over all that was deleted before.
  function dropOldest(): void {
    let left = Math.ceil(maxAlerts / 10);
    for (const id of rows.keys()) {
      rows.delete(id);
      left -= 1;
      if (left === 0) return;
    }
  }

  return {
    async insertAlert(alert) {
      if (rows.has(alert.id)) return { outcome: 'exists' };
      if (rows.size >= maxAlerts) dropOldest();
      const row = { ...alert, atMs: now() };
      rows.set(alert.id, row);
      return { outcome: 'inserted', row };
    },
    async listAlerts(query, page) {
      const matching = [...rows.values()].filter((row) => matches(row, query));
      matching.sort((a, b) => (comesBefore(a, b) ? -1 : 1));
      return cutPage(matching, page, ({ atMs, id }) => ({ atMs, id }));
    },
  };
}

function matches(row: AlertRow, { types, scopeIds, ownerIds, teamIds }: AlertQuery): boolean {
  return (
    isAmong(row.type, types) &&
    isAmong(row.scopeId, scopeIds) &&
    isAmong(row.ownerId, ownerIds) &&
    isAmong(row.teamId, teamIds)
  );
}

function isAmong<T>(value: T | null, values: readonly T[] | undefined): boolean {
  return values === undefined || (value !== null && values.includes(value));
}
