import { keyStatus, keyStatuses, type PolicyRecord, type VirtualKeyRecord } from '../../keys/virtual-key.ts';
import type { ScopeId } from '../../limits/limit.ts';
import { comesBefore, cutPage, type Position } from '../cursor.ts';
import { keyMatcher } from '../key-filter.ts';
import type {
  AuditEntry,
  AuditRow,
  Change,
  KeyCounts,
  KeyFilter,
  Records,
  StoredDefaults,
  StoreNotice,
  UpdateOutcome,
} from '../store.ts';
import type { MemoryOutbox } from './outbox.ts';
import type { PendingFences } from './pending-fences.ts';
import type { MemoryScopes } from './scopes.ts';
import type { createTwins } from './twins.ts';

export interface MemoryRecordsOptions {
  readonly scopes: MemoryScopes;
  readonly fences: Pick<PendingFences, 'leave'>;
  readonly outbox: Pick<MemoryOutbox, 'write'>;
  readonly now: () => number;
  readonly notify: (notice: StoreNotice) => void;
  readonly maxAuditRows: number;
}

type MemoryRecords = Omit<
  Records,
  'insertAlert' | 'listAlerts' | keyof Omit<MemoryOutbox, 'write'> | keyof ReturnType<typeof createTwins>
>;

/** Keys, policies and their history in one process. No method awaits anything, so each is one atomic act. */
export function createRecords(options: MemoryRecordsOptions): MemoryRecords {
  const { scopes, fences, outbox, now, notify, maxAuditRows } = options;
  const keys = new Map<string, VirtualKeyRecord>();
  const idsByHash = new Map<string, string>();
  const idsByAlias = new Map<string, string>();
  const idsByOwner = new Map<string, Set<string>>();
  /** Newest first. */
  const order: VirtualKeyRecord['id'][] = [];
  const policies = new Map<ScopeId, PolicyRecord>();
  let defaults: StoredDefaults | undefined;
  let audit: { readonly row: AuditRow; readonly position: Position }[] = [];
  let auditSequence = 0;

  function writeAudit(entry: AuditEntry): void {
    auditSequence += 1;
    // Rows of one millisecond keep the order in which they were written.
    audit.push({ row: { ...entry, atMs: now() }, position: { atMs: auditSequence, id: '' } });
    if (audit.length >= maxAuditRows * 2) audit = audit.slice(-maxAuditRows);
  }

  /** Commits what goes along with a change; the revision is the record's, new where the change is a fence. */
  function commit(scopeId: ScopeId, revision: number, change: Change): void {
    writeAudit(change.audit);
    if (change.outbox && scopeId.startsWith('key:')) {
      outbox.write(scopeId.slice('key:'.length), revision);
    }
  }

  /** Raises the fence of a scope: here, or in the ledger of another store when that hears of it. */
  function raiseFence(
    scopeId: ScopeId,
    revision: number,
    { ledger, carries }: Change,
    { isNew = false, isClosed = false } = {},
  ): void {
    if (ledger === 'other') fences.leave({ scopeId, revision, isNew, isClosed, carries });
    else if (isClosed) scopes.close(scopeId, revision, now());
    else scopes.fence(scopeId, revision, carries, now());
  }

  function nextRevision(current: number, change: Change): number {
    return change.fence ? Math.max(current + 1, now() * 1000) : current;
  }

  function hashesOf(record: VirtualKeyRecord): readonly string[] {
    return record.previousSecret === null ? [record.secretHash] : [record.secretHash, record.previousSecret.secretHash];
  }

  function index(record: VirtualKeyRecord): void {
    keys.set(record.id, record);
    idsByAlias.set(record.alias, record.id);
    for (const hash of hashesOf(record)) idsByHash.set(hash, record.id);
    if (record.ownerId === null) return;
    const owned = idsByOwner.get(record.ownerId);
    if (owned === undefined) idsByOwner.set(record.ownerId, new Set([record.id]));
    else owned.add(record.id);
  }

  function unindex(record: VirtualKeyRecord): void {
    keys.delete(record.id);
    idsByAlias.delete(record.alias);
    for (const hash of hashesOf(record)) idsByHash.delete(hash);
    if (record.ownerId === null) return;
    const owned = idsByOwner.get(record.ownerId);
    owned?.delete(record.id);
    if (owned?.size === 0) idsByOwner.delete(record.ownerId);
  }

  /** Whether the owner of this key has no room for it among the active ones. */
  function passesOwnerLimit(record: VirtualKeyRecord, maxActive: number | null): boolean {
    if (maxActive === null || record.ownerId === null) return false;
    const nowMs = now();
    if (keyStatus(record, nowMs) !== 'active') return false;
    let active = 0;
    for (const id of idsByOwner.get(record.ownerId) ?? []) {
      const other = keys.get(id);
      if (other !== undefined && id !== record.id && keyStatus(other, nowMs) === 'active') active += 1;
    }
    return active >= maxActive;
  }

  function select(filter: KeyFilter): VirtualKeyRecord[] {
    const matches = keyMatcher(filter, now());
    return order.flatMap((id) => {
      const key = keys.get(id);
      return key !== undefined && matches(key) ? [key] : [];
    });
  }

  return {
    async insertKey(record, change, { maxActive }) {
      if (keys.has(record.id)) return { outcome: 'id_taken' };
      if (idsByAlias.has(record.alias)) return { outcome: 'alias_taken' };
      if (hashesOf(record).some((hash) => idsByHash.has(hash))) return { outcome: 'secret_taken' };
      if (passesOwnerLimit(record, maxActive)) return { outcome: 'owner_limit' };
      const stored = { ...record, revision: nextRevision(0, change) };
      index(stored);
      insertInOrder(order, stored, (id) => positionOf(keys.get(id)));
      raiseFence(`key:${stored.id}`, stored.revision, change, { isNew: true });
      commit(`key:${stored.id}`, stored.revision, change);
      notify({ type: 'changed', scopeId: `key:${stored.id}`, revision: stored.revision });
      return { outcome: 'inserted', record: stored };
    },

    async updateKey(record, change, { maxActive }) {
      const current = keys.get(record.id);
      if (current === undefined) return { outcome: 'not_found' };
      if (current.version !== record.version - 1) return { outcome: 'version_conflict', version: current.version };
      const aliasOf = idsByAlias.get(record.alias);
      if (aliasOf !== undefined && aliasOf !== record.id) return { outcome: 'alias_taken' };
      const wasCounted = keyStatus(current, now()) === 'active' && current.ownerId === record.ownerId;
      if (!wasCounted && passesOwnerLimit(record, maxActive)) return { outcome: 'owner_limit' };
      const revision = nextRevision(current.revision, change);
      const stored = { ...record, revision, createdAtMs: current.createdAtMs, lastUsedAtMs: current.lastUsedAtMs };
      unindex(current);
      index(stored);
      if (change.fence) raiseFence(`key:${stored.id}`, revision, change);
      commit(`key:${stored.id}`, revision, change);
      notify({ type: 'changed', scopeId: `key:${stored.id}`, revision });
      return { outcome: 'updated', record: stored };
    },

    async deleteKey(id, version, change) {
      const current = keys.get(id);
      if (current === undefined) return { outcome: 'not_found' };
      if (current.version !== version) return { outcome: 'version_conflict', version: current.version };
      unindex(current);
      order.splice(order.indexOf(id), 1);
      const revision = nextRevision(current.revision, change);
      raiseFence(`key:${id}`, revision, change, { isClosed: true });
      commit(`key:${id}`, revision, change);
      notify({ type: 'changed', scopeId: `key:${id}`, revision });
      return { outcome: 'updated', record: null };
    },

    async findKey(id) {
      return keys.get(id);
    },

    async findKeyByHash(secretHashes) {
      for (const hash of secretHashes) {
        const key = keys.get(idsByHash.get(hash) ?? '');
        if (key !== undefined) return key;
      }
      return undefined;
    },

    async listKeys(filter, page) {
      return cutPage(select(filter), page, positionOf);
    },

    async countKeys(filter) {
      const counts = { active: 0, disabled: 0, expired: 0, revoked: 0 };
      const nowMs = now();
      for (const key of select(filter)) counts[keyStatus(key, nowMs)] += 1;
      const total = keyStatuses.reduce((sum, status) => sum + counts[status], 0);
      return { ...counts, total } satisfies KeyCounts;
    },

    async touchKey(id, lastUsedAtMs) {
      const current = keys.get(id);
      if (current === undefined || (current.lastUsedAtMs ?? 0) >= lastUsedAtMs) return;
      keys.set(id, { ...current, lastUsedAtMs });
    },

    async findPolicy(scopeId) {
      return policies.get(scopeId);
    },

    async putPolicy(scopeId, record, change) {
      const current = policies.get(scopeId);
      const version = current?.version ?? 0;
      if (version !== record.version - 1) return { outcome: 'version_conflict', version };
      const revision = nextRevision(current?.revision ?? 0, change);
      const stored = { ...record, revision, createdAtMs: current?.createdAtMs ?? record.createdAtMs };
      policies.set(scopeId, stored);
      raiseFence(scopeId, revision, change, { isNew: current === undefined });
      commit(scopeId, revision, change);
      notify({ type: 'changed', scopeId, revision });
      return { outcome: 'updated', record: stored };
    },

    async findDefaults() {
      return defaults;
    },

    async putDefaults(record, change): Promise<UpdateOutcome<StoredDefaults>> {
      const version = defaults?.version ?? 0;
      if (version !== record.version - 1) return { outcome: 'version_conflict', version };
      defaults = record;
      writeAudit(change.audit);
      return { outcome: 'updated', record };
    },

    async appendAudit(entry) {
      if (!audit.some(({ row }) => row.id === entry.id)) writeAudit(entry);
    },

    async listAudit({ targets, action }, page) {
      const rows = audit.filter(
        ({ row }) =>
          (targets === undefined || targets.includes(row.target)) && (action === undefined || row.action === action),
      );
      const { items, total, nextCursor } = cutPage(rows.reverse(), page, ({ position }) => position);
      return { items: items.map(({ row }) => row), total, nextCursor };
    },
  };
}

function positionOf(key: VirtualKeyRecord | undefined): Position {
  return { atMs: key?.createdAtMs ?? 0, id: key?.id ?? '' };
}

function insertInOrder(order: string[], key: VirtualKeyRecord, at: (id: string) => Position): void {
  const position = positionOf(key);
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (comesBefore(at(order[middle] ?? ''), position)) low = middle + 1;
    else high = middle;
  }
  order.splice(low, 0, key.id);
}
