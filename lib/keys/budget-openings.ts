import type { BudgetCarry, ScopeId } from '../limits/limit.ts';
import { budgetPeriod, budgetsOf, isCounted, type LimitedScope, type NamedBudget } from '../limits/plan.ts';
import { matchesPattern } from '../pattern.ts';
import type { Store } from '../stores/store.ts';

type UsageReader = Pick<Store, 'usage'>;

/**
 * What the counters of a scope's budgets open with: the spend that the usage record has for the scope in the period that
 * is current. Sums of the record are by the hour, so that a period beginning inside one opens with a little more.
 */
export async function openingsOf(
  store: UsageReader,
  scope: LimitedScope,
  nowMs: number,
): Promise<readonly BudgetCarry[]> {
  if (scope.limits === null) return [];
  return Promise.all(budgetsOf(scope.limits).map((budget) => carryOf(store, scope, budget, null, nowMs)));
}

/**
 * How the budgets of a scope go on after its limits changed. A budget whose period is another one takes over what the
 * one before it counted; a budget that is new opens with what the usage record says. Nothing is read where all go on as
 * they were.
 */
export async function carriesOf(
  store: UsageReader,
  before: LimitedScope,
  after: LimitedScope,
  nowMs: number,
): Promise<readonly BudgetCarry[]> {
  const { scopeId, limits } = before;
  if (limits === null || after.limits === null) return openingsOf(store, after, nowMs);
  const budgets = budgetsOf(after.limits);
  // A budget that was not counted has nothing to go on with: the usage record says what was spent.
  const counted = budgetsOf(limits).filter((budget) => isCounted(scopeId, limits, budget));
  // `budgets` are named by their duration: one that went is continued by one that came.
  const gone = counted.filter(({ id }) => id.startsWith('extra/') && !budgets.some((budget) => budget.id === id));
  const carries = budgets.flatMap((budget) => {
    const same = counted.find(({ id }) => id === budget.id);
    if (same !== undefined && isSamePeriod(same, before, budget, after, nowMs)) return [];
    const source = same ?? (budget.id.startsWith('extra/') ? gone.shift() : undefined);
    const from = source && {
      budgetId: source.id,
      periodStartMs: budgetPeriod(source, before.anchorMs, nowMs).startMs,
    };
    return [carryOf(store, after, budget, from ?? null, nowMs)];
  });
  return Promise.all(carries);
}

function isSamePeriod(
  budget: NamedBudget,
  before: LimitedScope,
  next: NamedBudget,
  after: LimitedScope,
  nowMs: number,
): boolean {
  const period = budgetPeriod(budget, before.anchorMs, nowMs);
  const nextPeriod = budgetPeriod(next, after.anchorMs, nowMs);
  return period.startMs === nextPeriod.startMs && period.endMs === nextPeriod.endMs;
}

async function carryOf(
  store: UsageReader,
  scope: LimitedScope,
  budget: NamedBudget,
  from: BudgetCarry['from'],
  nowMs: number,
): Promise<BudgetCarry> {
  const { startMs, endMs } = budgetPeriod(budget, scope.anchorMs, nowMs);
  const openingNanoUsd = await spendSince(store, scope.scopeId, budget, startMs);
  return { budgetId: budget.id, from, periodStartMs: startMs, periodEndMs: endMs, openingNanoUsd };
}

async function spendSince(
  store: UsageReader,
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
