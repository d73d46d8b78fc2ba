import type { ScopeId } from '../../limits/limit.ts';
import type { Store } from '../../stores/store.ts';
import { usd } from '../../usage/money.ts';

/** All that counts in a scope. What is zero is left out: a store need not keep it. */
export interface Standing {
  readonly openHolds: number;
  /** By the id of the limit. */
  readonly windows: { readonly [id: string]: number };
  /** In USD, by the id of the budget and the day its period began. */
  readonly budgets: { readonly [budget: string]: { readonly spent: number; readonly held: number } };
}

export async function standingOf(store: Store, scopeId: ScopeId): Promise<Standing> {
  const [balance] = await store.balances([scopeId]);
  const { openHolds = 0, windows = [], budgets = [] } = balance ?? {};
  const counted = budgets.filter(({ spentNanoUsd, heldNanoUsd }) => spentNanoUsd !== 0 || heldNanoUsd !== 0);
  return {
    openHolds,
    windows: Object.fromEntries(windows.filter(({ used }) => used !== 0).map(({ id, used }) => [id, used])),
    budgets: Object.fromEntries(
      counted.map(({ budgetId, periodStartMs, spentNanoUsd, heldNanoUsd }) => [
        periodStartMs === 0 ? budgetId : `${budgetId} from ${new Date(periodStartMs).toISOString().slice(0, 10)}`,
        { spent: usd(spentNanoUsd), held: usd(heldNanoUsd) },
      ]),
    ),
  };
}

export const nothingCounted: Standing = { openHolds: 0, windows: {}, budgets: {} };
