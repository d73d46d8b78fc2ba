import { randomUUID } from 'node:crypto';
import type { ClaimedRow, OutboxRow, Records } from '../store.ts';

type OutboxPart = Pick<
  Records,
  'readOutbox' | 'clearOutbox' | 'enqueueOutbox' | 'claimOutbox' | 'deferOutbox' | 'outboxBacklog'
>;

export interface MemoryOutbox extends OutboxPart {
  /** Marks a key in the act of its change: the row of an earlier one gives way, and a lease on it stays. */
  write(keyId: string, revision: number): void;
}

interface Lease {
  readonly id: string;
  readonly endsAtMs: number;
}

interface Entry {
  readonly row: OutboxRow;
  readonly dueAtMs: number;
  readonly attempts: number;
  readonly lease: Lease | null;
}

/** Changes that a mirror has yet to hear of, one row a key, in the order in which they were written. */
export function createOutbox(now: () => number): MemoryOutbox {
  const entries = new Map<string, Entry>();

  function put(keyId: string, revision: number, dueAtMs: number, lease: Lease | null): void {
    entries.delete(keyId);
    entries.set(keyId, { row: { id: randomUUID(), keyId, revision, atMs: now() }, dueAtMs, attempts: 0, lease });
  }

  function isClaimed({ lease }: Entry): boolean {
    return lease !== null && lease.endsAtMs > now();
  }

  function clear(cleared: OutboxRow | ClaimedRow): void {
    const entry = entries.get(cleared.keyId);
    if (entry === undefined) return;
    const isTheirs = 'leaseId' in cleared ? entry.lease?.id === cleared.leaseId : true;
    if (!isTheirs) return;
    if (entry.row.id === cleared.id) entries.delete(cleared.keyId);
    else if ('leaseId' in cleared) entries.set(cleared.keyId, { ...entry, lease: null });
  }

  return {
    write: (keyId, revision) => put(keyId, revision, now(), entries.get(keyId)?.lease ?? null),

    async readOutbox(limit) {
      return Array.from(entries.values(), ({ row }) => row).slice(0, limit);
    },

    async clearOutbox(rows) {
      for (const row of rows) clear(row);
    },

    async enqueueOutbox(keyIds, delayMs) {
      for (const keyId of keyIds) {
        const { row, dueAtMs = Number.POSITIVE_INFINITY, lease = null } = entries.get(keyId) ?? {};
        put(keyId, row?.revision ?? 0, Math.min(dueAtMs, now() + delayMs), lease);
      }
    },

    async claimOutbox(limit, leaseMs, keyIds) {
      const claimed: ClaimedRow[] = [];
      for (const [keyId, entry] of entries) {
        if (claimed.length >= limit) break;
        if (entry.dueAtMs > now() || isClaimed(entry) || keyIds?.includes(keyId) === false) continue;
        const lease = { id: randomUUID(), endsAtMs: now() + leaseMs };
        const attempts = entry.attempts + 1;
        entries.set(keyId, { ...entry, attempts, lease });
        claimed.push({ ...entry.row, leaseId: lease.id, attempts, isTakenOver: entry.lease !== null });
      }
      return claimed;
    },

    async deferOutbox({ keyId, id, leaseId }, delayMs) {
      const entry = entries.get(keyId);
      if (entry?.lease?.id !== leaseId) return;
      const dueAtMs = entry.row.id === id ? now() + delayMs : entry.dueAtMs;
      entries.set(keyId, { ...entry, dueAtMs, lease: null });
    },

    async outboxBacklog() {
      const backlog = { due: 0, claimed: 0, later: 0 };
      for (const entry of entries.values()) {
        if (isClaimed(entry)) backlog.claimed += 1;
        else if (entry.dueAtMs > now()) backlog.later += 1;
        else backlog.due += 1;
      }
      return backlog;
    },
  };
}
