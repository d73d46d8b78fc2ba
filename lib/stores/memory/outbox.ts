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
  /** `Infinity`: it is claimed, and nobody has asked for more since. */
  readonly dueAtMs: number;
  readonly attempts: number;
  readonly lease: Lease | null;
}

/** Changes that a mirror has yet to hear of, one row a key. */
export function createOutbox(now: () => number): MemoryOutbox {
  const entries = new Map<string, Entry>();

  function put(keyId: string, revision: number, dueAtMs: number, lease: Lease | null): void {
    entries.delete(keyId);
    entries.set(keyId, { row: { id: randomUUID(), keyId, revision, atMs: now() }, dueAtMs, attempts: 0, lease });
  }

  function isClaimed({ lease }: Entry): boolean {
    return lease !== null && lease.endsAtMs > now();
  }

  /** In the order in which they may be claimed; those of one moment as they were written. */
  function inOrder(): readonly Entry[] {
    return [...entries.values()].sort((a, b) => claimableFromMs(a) - claimableFromMs(b));
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
      return inOrder()
        .slice(0, limit)
        .map(({ row }) => row);
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
      const found = inOrder().filter(
        (entry) => claimableFromMs(entry) <= now() && keyIds?.includes(entry.row.keyId) !== false,
      );
      return found.slice(0, limit).map((entry): ClaimedRow => {
        const lease = { id: randomUUID(), endsAtMs: now() + leaseMs };
        const attempts = entry.attempts + 1;
        entries.set(entry.row.keyId, { ...entry, dueAtMs: Number.POSITIVE_INFINITY, attempts, lease });
        return { ...entry.row, leaseId: lease.id, attempts, isTakenOver: entry.lease !== null };
      });
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
        else if (claimableFromMs(entry) > now()) backlog.later += 1;
        else backlog.due += 1;
      }
      return backlog;
    },
  };
}

function claimableFromMs({ lease, dueAtMs }: Entry): number {
  return lease?.endsAtMs ?? dueAtMs;
}
