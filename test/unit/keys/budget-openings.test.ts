import assert from 'node:assert/strict';
import { carriesOf, openingsOf } from '../../../lib/keys/budget-openings.ts';
import type { Limits } from '../../../lib/limits/limit.ts';
import { noLimits } from '../../../lib/limits/limit.ts';
import type { LimitedScope } from '../../../lib/limits/plan.ts';
import type { UsageQuery, UsageRow } from '../../../lib/usage/usage.ts';

const anchorMs = Date.UTC(2026, 0, 10);
const nowMs = Date.UTC(2026, 0, 15, 12);
const todayMs = Date.UTC(2026, 0, 15);
const dayMs = 86_400_000;

function scope(scopeId: LimitedScope['scopeId'], limits: Partial<Limits> | null): LimitedScope {
  const all = limits === null ? null : { ...noLimits, ...limits };
  return { scopeId, revision: 1, limits: all, anchorMs, rateLimitEnabled: true };
}

/** A usage record in which everything costs 7. */
function usageOf7() {
  const queries: UsageQuery[] = [];
  const usage = async (query: UsageQuery): Promise<readonly UsageRow[]> => {
    queries.push(query);
    const sums = { requests: 1, inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };
    return [{ group: { model: 'gpt-4o' }, ...sums, costNanoUsd: 7 }];
  };
  return { queries, usage };
}

const main = { budgetId: 'main', openingNanoUsd: 7 };

describe('openingsOf', () => {
  it('opens each budget with the spend of its scope since its period began', async () => {
    const store = usageOf7();
    const modelLimits = ['gpt-*', 'o1'].map((model) => ({
      model,
      rpmLimit: null,
      tpmLimit: null,
      maxBudget: { maxBudgetNanoUsd: 1, budgetDuration: 'daily' },
    }));
    const openings = await openingsOf(store, scope('team:red', { maxBudgetNanoUsd: 1, modelLimits }), nowMs);
    const today = { from: null, periodStartMs: todayMs, periodEndMs: todayMs + dayMs };
    assert.deepEqual(openings, [
      { ...main, from: null, periodStartMs: 0, periodEndMs: null },
      { budgetId: 'budget/gpt-*', ...today, openingNanoUsd: 7 },
      { budgetId: 'budget/o1', ...today, openingNanoUsd: 0 },
    ]);
    assert.deepEqual(store.queries[0], { teamIds: ['red'], fromMs: 0, groupBy: [] });
  });
});

describe('carriesOf', () => {
  it('carries a budget whose period is another one', async () => {
    const before = scope('key:a', { budgetDuration: 'daily' });
    const after = scope('key:a', { budgetDuration: '30d' });
    assert.deepEqual(await carriesOf(usageOf7(), before, after, nowMs), [
      {
        ...main,
        from: { budgetId: 'main', periodStartMs: todayMs },
        periodStartMs: anchorMs,
        periodEndMs: anchorMs + 30 * dayMs,
      },
    ]);
  });

  it('carries a budget whose period begins where it did and ends elsewhere', async () => {
    const before = scope('key:a', { budgetDuration: '30d' });
    const carries = await carriesOf(usageOf7(), before, scope('key:a', { budgetDuration: '60d' }), nowMs);
    const from = { budgetId: 'main', periodStartMs: anchorMs };
    assert.deepEqual(carries, [{ ...main, from, periodStartMs: anchorMs, periodEndMs: anchorMs + 60 * dayMs }]);
  });

  it('carries nothing where the periods stay', async () => {
    const before = scope('key:a', { maxBudgetNanoUsd: 5, budgetDuration: 'daily' });
    assert.deepEqual(await carriesOf(usageOf7(), before, scope('key:a', { budgetDuration: 'daily' }), nowMs), []);
    assert.deepEqual(await carriesOf(usageOf7(), scope('key:a', { budgetDuration: 'daily' }), before, nowMs), []);
  });

  it('opens the budget of a policy that had none by the usage record, since it was not counted', async () => {
    const before = scope('user:ann', { maxBudgetNanoUsd: null });
    const after = scope('user:ann', { maxBudgetNanoUsd: 5 });
    const opening = { ...main, from: null, periodStartMs: 0, periodEndMs: null };
    assert.deepEqual(await carriesOf(usageOf7(), before, after, nowMs), [opening]);
    assert.deepEqual(await carriesOf(usageOf7(), scope('user:ann', null), after, nowMs), [opening]);
  });

  it('continues one of several budgets that went by one that came', async () => {
    const budget = (budgetDuration: string) => ({ budgets: [{ maxBudgetNanoUsd: 5, budgetDuration }] });
    const carries = await carriesOf(usageOf7(), scope('key:a', budget('daily')), scope('key:a', budget('30d')), nowMs);
    assert.deepEqual(carries, [
      {
        budgetId: 'extra/30d',
        from: { budgetId: 'extra/daily', periodStartMs: todayMs },
        periodStartMs: anchorMs,
        periodEndMs: anchorMs + 30 * dayMs,
        openingNanoUsd: 7,
      },
    ]);
  });
});
