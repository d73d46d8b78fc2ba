import { matchesAlert } from '../alert-filter.ts';
import { comesBefore, cutPage } from '../cursor.ts';
import type { AlertRow, Records } from '../store.ts';

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
      const matching = [...rows.values()].filter((row) => matchesAlert(row, query));
      matching.sort((a, b) => (comesBefore(a, b) ? -1 : 1));
      return cutPage(matching, page, ({ atMs, id }) => ({ atMs, id }));
    },
  };
}
