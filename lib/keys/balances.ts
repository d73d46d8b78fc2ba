import { KeyNotFoundError } from '../errors.ts';
import { type PlannedLimit, type ScopeId, scopeKind } from '../limits/limit.ts';
import { limitsOf } from '../limits/plan.ts';
import type { ScopeBalance } from '../stores/store.ts';
import { usd } from '../usage/money.ts';
import { limitedScopes } from './principals.ts';
import type { ServiceContext } from './service-context.ts';
import type { Balance } from './virtual-keys.ts';

/** What a key has used and has left under every limit of its own; of the limits over it, only what is left. */
export function createBalances(context: ServiceContext) {
  const { store, principals, now, withDeadline } = context;

  return async function balance(id: string): Promise<Balance> {
    const principal = await principals.findById(id, true);
    if (principal === undefined) throw new KeyNotFoundError();
    const nowMs = now();
    const scopes = limitedScopes(principal.key, principal.policies);
    const balances = await withDeadline(store.balances(scopes.map(({ scopeId }) => scopeId)));
    const byScope = new Map(balances.map((scope) => [scope.scopeId, scope]));
    const own = byScope.get(`key:${id}`);
    const shown = await context.shown(principal.key);
    const { spend, budgetRemaining, budgetUtilization, budgetResetAt } = shown;
    return {
      keyId: id,
      spend,
      held: usd(heldBy(own)),
      budgetRemaining,
      budgetUtilization,
      budgetResetAt,
      openRequests: own?.openHolds ?? 0,
      limits: scopes.flatMap((scope, index) =>
        limitsOf(scope, index, nowMs).flatMap((limit) => standing(limit, byScope, nowMs)),
      ),
    };
  };
}

function standing(limit: PlannedLimit, balances: ReadonlyMap<ScopeId, ScopeBalance>, nowMs: number): Balance['limits'] {
  if (limit.limit === null) return [];
  const used = usedOf(limit, balances.get(limit.scopeId));
  const shown = limit.measure === 'budget' ? usd : (amount: number) => amount;
  return [
    {
      scope: scopeKind(limit.scopeId),
      name: limit.name,
      model: limit.model,
      limit: shown(limit.limit),
      used: shown(used),
      remaining: shown(Math.max(0, limit.limit - used)),
      resetAt: resetAt(limit, used, nowMs),
    },
  ];
}

function usedOf(limit: PlannedLimit, balance: ScopeBalance | undefined): number {
  if (balance === undefined) return 0;
  if (limit.measure === 'concurrency') return balance.openHolds;
  if (limit.measure !== 'budget') return balance.windows.find(({ id }) => id === limit.id)?.used ?? 0;
  const budget = balance.budgets.find((b) => b.budgetId === limit.id && b.periodStartMs === limit.periodStartMs);
  return budget === undefined ? 0 : budget.spentNanoUsd + budget.heldNanoUsd;
}

function resetAt(limit: PlannedLimit, used: number, nowMs: number): string | null {
  if (limit.measure === 'budget') return limit.periodEndMs === null ? null : new Date(limit.periodEndMs).toISOString();
  // A window is empty again at the latest when all of it has passed.
  return 'windowMs' in limit && used > 0 ? new Date(nowMs + limit.windowMs).toISOString() : null;
}

function heldBy(balance: ScopeBalance | undefined): number {
  const main = balance?.budgets.filter(({ budgetId }) => budgetId === 'main') ?? [];
  return main.reduce((sum, { heldNanoUsd }) => sum + heldNanoUsd, 0);
}
