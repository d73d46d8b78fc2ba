import { openingsOf } from '../../keys/budget-openings.ts';
import { noLimits, type ScopeId } from '../../limits/limit.ts';
import type { ScopeBalance, Store } from '../store.ts';

/**
 * What the records alone know of these scopes: the spend that the archive has for their budgets in the current periods.
 * What is held, what windows count, and usage that has not been relayed is missing.
 */
export async function approximateBalances(
  records: Store,
  scopeIds: readonly ScopeId[],
  nowMs: number,
): Promise<readonly ScopeBalance[]> {
  const balances = await Promise.all(scopeIds.map((scopeId) => approximateBalance(records, scopeId, nowMs)));
  return balances.flatMap((balance) => balance ?? []);
}

async function approximateBalance(records: Store, scopeId: ScopeId, nowMs: number): Promise<ScopeBalance | undefined> {
  const record = scopeId.startsWith('key:')
    ? await records.findKey(scopeId.slice('key:'.length))
    : await records.findPolicy(scopeId);
  if (record === undefined) return undefined;
  const { revision, createdAtMs: anchorMs } = record;
  const limits = { ...noLimits, ...record };
  const openings = await openingsOf(records, { scopeId, revision, limits, anchorMs, rateLimitEnabled: true }, nowMs);
  return {
    scopeId,
    revision,
    windows: [],
    openHolds: 0,
    budgets: openings.map(({ budgetId, periodStartMs, openingNanoUsd }) => ({
      budgetId,
      periodStartMs,
      spentNanoUsd: openingNanoUsd,
      heldNanoUsd: 0,
    })),
    isApproximate: true,
  };
}
