import type { ScopeId } from '../limits/limit.ts';
import { budgetPeriod, budgetsOf, type LimitedScope, type NamedBudget } from '../limits/plan.ts';
import { matchesPattern } from '../pattern.ts';
import type { BudgetCarry, Store } from '../stores/store.ts';

/**
 * What the counters of a scope's budgets open with: the spend that the usage record has for the scope in the period that
 * is current. Sums of the record are by the hour, so that a period beginning inside one opens with a little more.
 */
export async function openingsOf(
  store: Pick<Store, 'usage'>,
  scope: LimitedScope,
  nowMs: number,
): Promise<readonly BudgetCarry[]> {
  if (scope.limits === null) return [];
  return Promise.all(
    budgetsOf(scope.limits).map(async (budget): Promise<BudgetCarry> => {
      const { startMs, endMs } = budgetPeriod(budget, scope.anchorMs, nowMs);
      return {
        budgetId: budget.id,
        from: null,
        periodStartMs: startMs,
        periodEndMs: endMs,
        openingNanoUsd: await spendSince(store, scope.scopeId, budget, startMs),
      };
    }),
  );
}

/**
 * How the budgets of a scope go on after its limits changed. A budget whose period is another one takes over what the
 * one before it counted; a budget that is new opens with what the usage record says.
 */
export async function carriesOf(
  store: Pick<Store, 'usage'>,
  before: LimitedScope,
  after: LimitedScope,
  nowMs: number,
): Promise<readonly BudgetCarry[]> {
  if (before.limits === null) return openingsOf(store, after, nowMs);
  // A policy counts nothing under a budget without a limit: when it gets one, the usage record says what was spent.
  const counted = budgetsOf(before.limits).filter(({ limit }) => limit !== null || before.scopeId.startsWith('key:'));
  const earlier = new Map(counted.map((budget) => [budget.id, budget]));
  const openings = await openingsOf(store, after, nowMs);
  const kept = new Set(openings.map(({ budgetId }) => budgetId));
  // `budgets` are named by their duration: one that went is continued by one that came.
  const gone = [...earlier.values()].filter(({ id }) => id.startsWith('extra/') && !kept.has(id));
  return openings.flatMap((opening) => {
    const same = earlier.get(opening.budgetId);
    const source = same ?? (opening.budgetId.startsWith('extra/') ? gone.shift() : undefined);
    if (source === undefined) return [opening];
    const { startMs, endMs } = budgetPeriod(source, before.anchorMs, nowMs);
    const isSamePeriod = startMs === opening.periodStartMs && endMs === opening.periodEndMs;
    if (source.id === opening.budgetId && isSamePeriod) return [];
    return [{ ...opening, from: { budgetId: source.id, periodStartMs: startMs } }];
  });
}

async function spendSince(
  store: Pick<Store, 'usage'>,
  scopeId: ScopeId,
  { model }: NamedBudget,
  fromMs: number,
): Promise<number> {
  const rows = await store.usage({ ...whose(scopeId), fromMs, groupBy: model === null ? [] : ['model'] });
  const counted = rows.filter(({ group }) => model === null || matchesPattern(model, group.model ?? ''));
  return Math.max(
    0,
    counted.reduce((sum, { costNanoUsd }) => sum + costNanoUsd, 0),
  );
}

function whose(scopeId: ScopeId): { keyId?: string; ownerIds?: string[]; teamIds?: string[] } {
  if (scopeId === 'global') return {};
  const [kind, id] = [scopeId.slice(0, scopeId.indexOf(':')), scopeId.slice(scopeId.indexOf(':') + 1)];
  if (kind === 'key') return { keyId: id };
  return kind === 'user' ? { ownerIds: [id] } : { teamIds: [id] };
}
