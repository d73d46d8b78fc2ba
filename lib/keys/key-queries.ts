import { KeyNotFoundError } from '../errors.ts';
import type { ScopeId } from '../limits/limit.ts';
import type { WithDeadline } from '../stores/deadline.ts';
import type { Store } from '../stores/store.ts';
import type { MirrorPlace } from './attached-mirror.ts';
import {
  parseAlertRequest,
  parseAuditQuery,
  parseKeyListFilter,
  parsePage,
  parseUsageRequest,
} from './query-schema.ts';
import { isAlertRow, isKeyRecord, isMoment } from './record-check.ts';
import { auditView, showKey } from './show-key.ts';
import { showAlert } from './shown-alert.ts';
import type { VirtualKey } from './shown-key.ts';
import { keySpend } from './spend.ts';
import { usageReport } from './usage-reports.ts';
import type { VirtualKeyRecord } from './virtual-key.ts';
import type { VirtualKeys } from './virtual-keys.ts';

export interface KeyQueriesOptions {
  readonly store: Store;
  readonly now: () => number;
  readonly withDeadline: WithDeadline;
  readonly withReportDeadline: WithDeadline;
  readonly mirror: Pick<MirrorPlace, 'current'>;
  readonly onCorrupt: (scopeId: ScopeId) => void;
}

/** Everything that reads keys and their history from the store itself. */
export function createKeyQueries(options: KeyQueriesOptions) {
  const { store, now, withDeadline, withReportDeadline, mirror, onCorrupt } = options;

  async function findRecord(id: string): Promise<VirtualKeyRecord | undefined> {
    return readable(await withDeadline(store.findKey(id)), id);
  }

  function readable(record: unknown, id: string): VirtualKeyRecord | undefined {
    if (record === undefined || isKeyRecord(record)) return record;
    onCorrupt(`key:${id}`);
    return undefined;
  }

  async function shownAll(records: readonly VirtualKeyRecord[]): Promise<readonly VirtualKey[]> {
    if (records.length === 0) return [];
    const nowMs = now();
    const [balances, syncs] = await Promise.all([
      withDeadline(store.balances(records.map(({ id }): ScopeId => `key:${id}`))),
      mirror.current?.show(records.map(({ id }) => id)),
    ]);
    const byScope = new Map(balances.map((balance) => [balance.scopeId, balance]));
    return records.map((record) => {
      const spend = keySpend(record, byScope.get(`key:${record.id}`), nowMs);
      return showKey(record, spend, nowMs, syncs?.get(record.id));
    });
  }

  async function shown(record: VirtualKeyRecord): Promise<VirtualKey> {
    const [key] = await shownAll([record]);
    if (key === undefined) throw new KeyNotFoundError();
    return key;
  }

  const list: VirtualKeys['list'] = async (filter, page) => {
    const listed = await withReportDeadline(store.listKeys(parseKeyListFilter(filter), parsePage(page)));
    const records = listed.items.flatMap((record) => readable(record, record.id) ?? []);
    return { items: await shownAll(records), total: listed.total, nextCursor: listed.nextCursor };
  };

  const audit: VirtualKeys['audit'] = async (query, page) => {
    const listed = await withReportDeadline(store.listAudit(parseAuditQuery(query), parsePage(page)));
    const rows = listed.items.filter(({ atMs }) => isMoment(atMs));
    const items = rows.map(({ atMs, ...row }) => ({ ...row, at: new Date(atMs).toISOString() }));
    return { items, total: listed.total, nextCursor: listed.nextCursor };
  };

  const alerts: VirtualKeys['alerts'] = async (request, page) => {
    const listed = await withReportDeadline(store.listAlerts(parseAlertRequest(request), parsePage(page)));
    return {
      items: listed.items.filter(isAlertRow).map(showAlert),
      total: listed.total,
      nextCursor: listed.nextCursor,
    };
  };

  return {
    findRecord,
    shown,
    shownAll,
    auditView,
    list,
    audit,
    alerts,
    async get(id: string): Promise<VirtualKey> {
      const record = await findRecord(id);
      if (record === undefined) throw new KeyNotFoundError();
      return shown(record);
    },
    count: (async (filter) =>
      withReportDeadline(store.countKeys(parseKeyListFilter(filter)))) satisfies VirtualKeys['count'],
    usage: (async (request) =>
      withReportDeadline(usageReport(store, parseUsageRequest(request), now()))) satisfies VirtualKeys['usage'],
  };
}
