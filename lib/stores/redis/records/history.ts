import { matchesAlert } from '../../alert-filter.ts';
import { cutPage } from '../../cursor.ts';
import type { AlertRow, AuditRow, Records } from '../../store.ts';
import { createAskOnce } from '../closings.ts';
import { asked } from '../script.ts';
import type { Changes } from './changes.ts';
import { positionOf } from './entries.ts';
import { quoted } from './names.ts';
import { createOrderedRows } from './ordered-rows.ts';
import type { RecordConnection } from './record-connection.ts';
import { appendAudit, insertAlert } from './record-scripts.ts';
import { parsedObject } from './stored-key.ts';

export interface HistoryOptions {
  readonly connection: RecordConnection;
  readonly changes: Changes;
  readonly maxAlerts: number;
}

type History = Pick<Records, 'appendAudit' | 'listAudit' | 'insertAlert' | 'listAlerts'>;

/** What is kept of what happened, up to a number of rows. */
export function createHistory({ connection, changes, maxAlerts }: HistoryOptions): History {
  const { client, run, names, nowMs } = connection;
  const rows = createOrderedRows(connection);
  const askOnce = createAskOnce(client);

  return {
    appendAudit: (entry) => changes.appendAudit(appendAudit, entry),

    async listAudit({ targets, action }, page) {
      const matching: string[] = [];
      // An entry tells action and target by itself.
      const entries = await asked(() => client.zrevrange(names.audit, 0, -1));
      for (const entry of entries) {
        const [itsAction, target] = labelOf(entry);
        if (action !== undefined && itsAction !== action) continue;
        if (targets === undefined || targets.includes(target)) matching.push(entry);
      }
      const cut = cutPage(matching, page, (entry) => ({ atMs: Number(entry.slice(0, 16)), id: '' }));
      if (cut.items.length === 0) return { ...cut, items: [] };
      const found = await asked(() => client.hmget(names.auditRows, ...cut.items));
      return { ...cut, items: found.flatMap((row) => (row === null ? [] : readAuditRow(row))) };
    },

    async insertAlert(alert) {
      const keys = [names.alertIds, names.alerts, names.alertRows];
      const atMs = await askOnce(
        () => run(insertAlert, keys, [quoted(alert.id), JSON.stringify(alert), maxAlerts, nowMs() ?? '']),
        (inserted) => inserted === undefined,
      );
      return atMs === undefined ? { outcome: 'exists' } : { outcome: 'inserted', row: { ...alert, atMs } };
    },

    async listAlerts(query, page) {
      const matching: { readonly entry: string; readonly row: AlertRow }[] = [];
      for await (const found of rows.walk([names.alerts], names.alertRows)) {
        for (const [entry, text] of found) {
          const row = { ...parsedObject(text), atMs: positionOf(entry).atMs } as AlertRow;
          if (matchesAlert(row, query)) matching.push({ entry, row });
        }
      }
      const cut = cutPage(matching, page, ({ entry }) => positionOf(entry));
      return { ...cut, items: cut.items.map(({ row }) => row) };
    },
  };
}

function labelOf(entry: string): readonly [action: string, target: string] {
  try {
    const [action, target]: unknown[] = JSON.parse(entry.slice(16));
    return [String(action), String(target)];
  } catch {
    return ['', ''];
  }
}

function readAuditRow(row: string): AuditRow[] {
  const space = row.indexOf(' ');
  try {
    return [{ ...JSON.parse(row.slice(space + 1)), atMs: Number(row.slice(0, space)) }];
  } catch {
    return [];
  }
}
