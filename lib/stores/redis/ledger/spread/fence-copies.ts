import type { PlannedScope, ScopeId } from '../../../../limits/limit.ts';
import { type LedgerContext, ledgerScript } from '../acts.ts';

const copyFenceScript = ledgerScript<null>('copy-fence');
const raiseFenceScript = ledgerScript<number | null>('raise-fence');

/**
 * For as long as a call may be judged by what a process remembers of a record, an hour at most; and by a request that began
 * with that and goes on making calls, for which a day is allowed.
 */
const copiedMs = 25 * 3_600_000;

/**
 * Keeps copies of fences in other shards than their scope's: a call need not go there to learn that a record which limits
 * nothing is still the latest. A change is told to all of them, in case that it limits something now; whoever misses a copy,
 * or knows of a later record, makes one.
 */
export function createFenceCopies({ names, run }: Pick<LedgerContext, 'names' | 'run'>) {
  function copy(shard: number, scopeId: ScopeId, revision: number): Promise<null> {
    return run(copyFenceScript, [names.fenceCopy(shard, scopeId)], [revision, copiedMs]);
  }

  return {
    async copyToAll(scopeId: ScopeId, revision: number): Promise<void> {
      // Calls under a key are all decided in its own shard.
      if (scopeId.startsWith('key:')) return;
      const own = names.shardOf(scopeId);
      const others = names.shards.filter((shard) => shard !== own);
      await Promise.all(others.map((shard) => copy(shard, scopeId, revision)));
    },

    /** Makes the copies that a shard misses; answers the scopes of which there is no fence either. */
    async copyMissing(shard: number, scopes: readonly PlannedScope[]): Promise<readonly ScopeId[]> {
      const unknown = scopes.map(async ({ scopeId, revision }) => {
        if (names.shardOf(scopeId) === shard) return [scopeId];
        const raised = await run(raiseFenceScript, [names.scope(scopeId)], [revision]);
        if (raised === null) return [scopeId];
        await copy(shard, scopeId, raised);
        return [];
      });
      return (await Promise.all(unknown)).flat();
    },
  };
}

export type FenceCopies = ReturnType<typeof createFenceCopies>;
