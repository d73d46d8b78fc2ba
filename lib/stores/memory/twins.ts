import type { Records, TwinRow } from '../store.ts';
import { noTwins } from '../twin-counts.ts';

/** What a mirror keeps of each key. */
export function createTwins(): Pick<Records, 'findTwins' | 'putTwin' | 'removeTwin' | 'countTwins'> {
  const twins = new Map<string, TwinRow>();

  function isAt(keyId: string, version: number): boolean {
    return (twins.get(keyId)?.version ?? 0) === version;
  }

  return {
    findTwins: async (keyIds) => keyIds.flatMap((keyId) => twins.get(keyId) ?? []),

    async putTwin(row) {
      if (!isAt(row.keyId, row.version - 1)) return { outcome: 'version_conflict' };
      twins.set(row.keyId, { ...row, details: JSON.parse(JSON.stringify(row.details)) });
      return { outcome: 'stored' };
    },

    async removeTwin(keyId, version) {
      if (!isAt(keyId, version)) return { outcome: 'version_conflict' };
      twins.delete(keyId);
      return { outcome: 'removed' };
    },

    async countTwins() {
      const counts = { ...noTwins };
      for (const { state } of twins.values()) counts[state] += 1;
      return counts;
    },
  };
}
