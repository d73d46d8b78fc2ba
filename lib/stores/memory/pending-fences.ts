import { randomUUID } from 'node:crypto';
import type { CombinableRecords, Fence } from '../combinable.ts';

/** Fences that the ledger of another store has yet to hear of, oldest first. */
export interface PendingFences extends Pick<CombinableRecords, 'pendingFences' | 'clearFences'> {
  leave(fence: Omit<Fence, 'id'>): void;
}

export function createPendingFences(): PendingFences {
  const pending = new Map<string, Fence>();
  return {
    leave(fence) {
      const id = randomUUID();
      pending.set(id, { ...fence, id });
    },
    async pendingFences(limit) {
      return [...pending.values()].slice(0, limit);
    },
    async clearFences(ids) {
      for (const id of ids) pending.delete(id);
    },
  };
}
