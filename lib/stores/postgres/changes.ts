import type { Fence } from '../combinable.ts';
import type { Change } from '../store.ts';
import type { AuditLog } from './audit.ts';
import type { ChangeLog } from './change-log.ts';
import type { Query } from './connection.ts';
import { raiseFence } from './fence.ts';
import type { Outbox } from './outbox.ts';
import type { PendingFences } from './pending-fences.ts';

export interface ChangesOptions {
  readonly schema: string;
  readonly audit: AuditLog;
  readonly outbox: Pick<Outbox, 'write'>;
  readonly pendingFences: PendingFences;
  readonly changeLog: ChangeLog;
}

/** What the record of a scope has come to. */
export interface ChangedScope extends Pick<Fence, 'scopeId' | 'revision'> {
  readonly isNew?: boolean;
  readonly isClosed?: boolean;
}

/** Writes all that goes along with a change of a record, in the transaction that has locked and changed it. */
export type WriteChange = (query: Query, changed: ChangedScope, change: Change, nowMs: number) => Promise<void>;

export function createWriteChange(options: ChangesOptions): WriteChange {
  const { schema, audit, outbox, pendingFences, changeLog } = options;
  return async (query, { scopeId, revision, isNew = false, isClosed = false }, change, nowMs) => {
    if (change.fence || isNew || isClosed) {
      const fence = { scopeId, revision, isNew, isClosed, carries: change.carries };
      if (change.ledger === 'other') await pendingFences.write(query, fence);
      else await raiseFence(query, schema, fence, nowMs);
    }
    await audit.write(query, change.audit, nowMs);
    if (change.outbox && scopeId.startsWith('key:')) {
      await outbox.write(query, { keyId: scopeId.slice('key:'.length), revision, atMs: nowMs });
    }
    await changeLog.write(query, scopeId, revision);
  };
}

/** Of the record after the change; it rises also where the clock stands or steps back. */
export function nextRevision(current: number, change: Change, nowMs: number): number {
  return change.fence ? Math.max(current + 1, nowMs * 1000) : current;
}
