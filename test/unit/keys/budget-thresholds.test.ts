import assert from 'node:assert/strict';
import { reachedThreshold, watchedBudgets } from '../../../lib/keys/budget-thresholds.ts';
import type { Limits } from '../../../lib/limits/limit.ts';
import { noLimits } from '../../../lib/limits/limit.ts';
import { nanoUsd } from '../../../lib/usage/money.ts';

function reached(limits: Partial<Limits>, spentUsd: number, budgetId = 'main') {
  const budget = watchedBudgets({ ...noLimits, ...limits }).get(budgetId) ?? assert.fail(`no budget ${budgetId}`);
  return reachedThreshold(budget, nanoUsd(spentUsd));
}

describe('reachedThreshold', () => {
  for (const [spentUsd, percent] of [
    [79.999999999, undefined],
    [80, 80],
    [89.99, 80],
    [90, 90],
    [95, 95],
    [99.999999999, 95],
    [100, 100],
    [250, 100],
  ] as const) {
    it(`is ${percent} percent of a budget of 100 USD at ${spentUsd}`, () => {
      const threshold = reached({ maxBudgetNanoUsd: nanoUsd(100) }, spentUsd);
      const type = percent === 100 ? 'budget.exceeded' : 'budget.warning';
      assert.deepEqual(threshold, percent && { type, amountNanoUsd: nanoUsd(percent), percent });
    });
  }

  it('is the soft budget where it is the highest amount reached, or the same as a part of the limit', () => {
    const softly = (softUsd: number, spentUsd: number) =>
      reached({ maxBudgetNanoUsd: nanoUsd(100), softBudgetNanoUsd: nanoUsd(softUsd) }, spentUsd);
    const soft = (usd: number) => ({ type: 'budget.warning', amountNanoUsd: nanoUsd(usd), percent: null });
    assert.deepEqual(softly(50, 60), soft(50));
    assert.deepEqual(softly(80, 81), soft(80));
    assert.deepEqual(softly(85, 91)?.percent, 90);
    assert.deepEqual(softly(120, 130)?.type, 'budget.exceeded');
  });

  it('is the soft budget alone where there is no limit', () => {
    assert.deepEqual(reached({ softBudgetNanoUsd: nanoUsd(5) }, 1000), {
      type: 'budget.warning',
      amountNanoUsd: nanoUsd(5),
      percent: null,
    });
    assert.equal(reached({}, 1000), undefined);
  });

  it('is no soft budget of the further budgets, and none of models', () => {
    const maxBudget = { maxBudgetNanoUsd: nanoUsd(10), budgetDuration: 'daily' };
    const limits = {
      softBudgetNanoUsd: nanoUsd(1),
      budgets: [maxBudget],
      modelLimits: [{ model: 'gpt-*', rpmLimit: null, tpmLimit: null, maxBudget }],
    };
    for (const budgetId of ['extra/daily', 'budget/gpt-*']) {
      assert.equal(reached(limits, 7, budgetId), undefined);
      assert.equal(reached(limits, 8, budgetId)?.percent, 80);
    }
  });
});
