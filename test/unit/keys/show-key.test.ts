import assert from 'node:assert/strict';
import { parseKeyInput } from '../../../lib/keys/key-schema.ts';
import { auditView, showKey } from '../../../lib/keys/show-key.ts';
import type { KeySpend } from '../../../lib/keys/spend.ts';
import type { VirtualKeyRecord } from '../../../lib/keys/virtual-key.ts';

const nowMs = Date.UTC(2025, 5, 15);
const input = {
  name: 'Production',
  models: ['gpt-4o*'],
  maxBudget: 500,
  budgetDuration: 'monthly',
  budgets: [{ maxBudget: 0.1, budgetDuration: 'daily' }],
  modelRpmLimit: { o3: 5 },
  modelMaxBudget: { o3: 2.5 },
};
const record: VirtualKeyRecord = {
  ...parseKeyInput(input, nowMs),
  id: 'k1',
  alias: 'Production_0123abcd',
  secretHash: 'hash-of-the-secret',
  prefix: 'sk-llm-a…wxyz',
  previousSecret: { secretHash: 'hash-of-the-one-before', endsAtMs: nowMs + 1 },
  disabledAtMs: null,
  revokedAtMs: null,
  revokedReason: null,
  version: 3,
  revision: 17,
  createdAtMs: nowMs - 1000,
  updatedAtMs: nowMs,
  lastUsedAtMs: null,
};
const unspent: KeySpend = {
  spentNanoUsd: 0,
  heldNanoUsd: 0,
  limitNanoUsd: 500e9,
  exceeded: false,
  resetAtMs: null,
  isApproximate: false,
};

describe('showKey', () => {
  it('shows the fields of the input, in USD and ISO 8601', () => {
    const { maxBudget, budgetDuration, budgets, modelRpmLimit, modelTpmLimit, modelMaxBudget, ...key } = showKey(
      record,
      { ...unspent, resetAtMs: Date.UTC(2025, 6, 1) },
      nowMs,
    );
    assert.deepEqual(
      { maxBudget, budgetDuration, budgets, modelRpmLimit, modelTpmLimit, modelMaxBudget },
      {
        maxBudget: 500,
        budgetDuration: 'monthly',
        budgets: [{ maxBudget: 0.1, budgetDuration: 'daily' }],
        modelRpmLimit: { o3: 5 },
        modelTpmLimit: {},
        modelMaxBudget: { o3: { maxBudget: 2.5, budgetDuration: 'total' } },
      },
    );
    assert.deepEqual(
      [key.status, key.createdAt, key.budgetResetAt, key.expiresAt, key.lastUsedAt, key.sync],
      ['active', '2025-06-14T23:59:59.000Z', '2025-07-01T00:00:00.000Z', null, null, null],
    );
  });

  it('shows neither a secret nor a hash, and nothing that is only for the service', () => {
    const shown = showKey(record, unspent, nowMs);
    assert.doesNotMatch(JSON.stringify([shown, auditView(record)]), /hash|17/i);
  });

  const spends: readonly [title: string, spend: Partial<KeySpend>, shown: object][] = [
    ['half of the budget', { spentNanoUsd: 250e9 }, { spend: 250, budgetUtilization: 50, budgetRemaining: 250 }],
    ['nothing', {}, { spend: 0, budgetUtilization: 0, budgetRemaining: 500 }],
    [
      'what is held as not remaining',
      { spentNanoUsd: 100e9, heldNanoUsd: 300e9 },
      { spend: 100, budgetUtilization: 20, budgetRemaining: 100 },
    ],
    [
      'more than the budget',
      { spentNanoUsd: 750e9, exceeded: true },
      { spend: 750, budgetUtilization: 150, budgetRemaining: 0, budgetExceeded: true },
    ],
    [
      'no share of a budget that is none',
      { spentNanoUsd: 5e9, limitNanoUsd: null },
      { spend: 5, budgetUtilization: null, budgetRemaining: null },
    ],
    ['all of a budget of 0', { limitNanoUsd: 0 }, { spend: 0, budgetUtilization: 100, budgetRemaining: 0 }],
  ];
  for (const [title, spend, expected] of spends) {
    it(`shows ${title}`, () => {
      const {
        spend: spent,
        budgetUtilization,
        budgetRemaining,
        budgetExceeded,
      } = showKey(record, { ...unspent, ...spend }, nowMs);
      assert.deepEqual(
        { spend: spent, budgetUtilization, budgetRemaining, budgetExceeded },
        { budgetExceeded: false, ...expected },
      );
    });
  }
});
