import assert from 'node:assert/strict';
import { blankKey, type KeyFields } from '../../../lib/keys/key-fields.ts';
import type { KeyDefaults } from '../../../lib/keys/key-input.ts';
import { parseKeyInput } from '../../../lib/keys/key-schema.ts';
import { applyDefaults, checkMaximums, effectiveQuotas } from '../../../lib/keys/quotas.ts';

const nowMs = Date.UTC(2025, 5, 15);
const dayMs = 86_400_000;
const defaults = { maxBudget: 50, tpmLimit: 5000, rpmLimit: 30, budgetDuration: 'monthly', softBudget: 40 };
const maximums = { maxBudget: 200, tpmLimit: 20_000, rpmLimit: 100 };

describe('effectiveQuotas', () => {
  it('lets stored defaults stand over those of the options, and the stricter maximum hold', () => {
    const options = { defaults: { rpmLimit: 1, tpmLimit: 2 }, maximums: { rpmLimit: 10, tpmLimit: 20 } };
    const stored = {
      defaults: { rpmLimit: 3, maxBudget: null },
      maximums: { rpmLimit: 5, tpmLimit: 50, maxBudget: 0 },
    };
    assert.deepEqual(effectiveQuotas(options, stored), {
      defaults: { rpmLimit: 3, tpmLimit: 2, maxBudget: null },
      maximums: { rpmLimit: 5, tpmLimit: 20, maxBudget: 0 },
    });
  });
});

describe('applyDefaults', () => {
  const create = (input: object, given: KeyDefaults = defaults) =>
    parseKeyInput(applyDefaults({ name: 'x', models: ['*'], ...input }, given), nowMs);

  it('fills what the input leaves out', () => {
    assert.deepEqual(create({}), {
      ...blankKey,
      name: 'x',
      models: ['*'],
      maxBudgetNanoUsd: 50e9,
      tpmLimit: 5000,
      rpmLimit: 30,
      budgetDuration: 'monthly',
      softBudgetNanoUsd: 40e9,
    });
  });

  it('leaves 0 and null as they were said, and takes undefined for nothing said', () => {
    const { maxBudgetNanoUsd, rpmLimit, tpmLimit } = create({ maxBudget: 0, rpmLimit: null, tpmLimit: undefined });
    assert.deepEqual([maxBudgetNanoUsd, rpmLimit, tpmLimit], [0, null, 5000]);
  });

  it('gives the default expiry to keys that say nothing of one', () => {
    const given = { expiresInDays: 30 };
    assert.equal(create({}, given).expiresAtMs, nowMs + 30 * dayMs);
    assert.equal(create({ expiresInDays: 2 }, given).expiresAtMs, nowMs + 2 * dayMs);
    assert.equal(create({ expiresAt: nowMs + 5 }, given).expiresAtMs, nowMs + 5);
    assert.equal(create({ expiresAt: null }, given).expiresAtMs, null);
  });

  it('hands on what is no object, to be refused', () => {
    for (const input of [null, 'text', [1]]) assert.equal(applyDefaults(input, defaults), input);
  });
});

describe('checkMaximums', () => {
  const key = (fields: Partial<KeyFields>): KeyFields => ({
    ...blankKey,
    maxBudgetNanoUsd: 200e9,
    tpmLimit: 20_000,
    rpmLimit: 100,
    ...fields,
  });
  const refusal = (message: string) => ({ code: 'quota_limits_exceeded', status: 400, message });

  it('lets a key have the most there is', () => {
    checkMaximums(key({}), maximums, nowMs);
    checkMaximums(key({ expiresAtMs: nowMs + 30 * dayMs }), { expiresInDays: 30 }, nowMs);
  });

  const refused: readonly [fields: Partial<KeyFields>, message: string][] = [
    [{ maxBudgetNanoUsd: 500e9 }, 'maxBudget: 500 exceeds maximum 200'],
    [{ maxBudgetNanoUsd: null }, 'maxBudget: unlimited exceeds maximum 200'],
    [{ rpmLimit: 101, tpmLimit: 20_001 }, 'rpmLimit: 101 exceeds maximum 100; tpmLimit: 20001 exceeds maximum 20000'],
  ];
  for (const [fields, message] of refused) {
    it(`refuses ${message}`, () => {
      assert.throws(() => checkMaximums(key(fields), maximums, nowMs), refusal(message));
    });
  }

  it('bounds how long a key lives by days from now', () => {
    const most = { expiresInDays: 30 };
    const later = key({ expiresAtMs: nowMs + 30 * dayMs + 1 });
    assert.throws(() => checkMaximums(later, most, nowMs), refusal('expiresInDays: 31 exceeds maximum 30'));
    assert.throws(() => checkMaximums(key({}), most, nowMs), refusal('expiresInDays: unlimited exceeds maximum 30'));
  });

  it('leaves alone what a change does not loosen, and refuses what it does', () => {
    const before = key({ maxBudgetNanoUsd: 500e9, rpmLimit: null });
    checkMaximums({ ...before, name: 'renamed' }, maximums, nowMs, before);
    checkMaximums({ ...before, maxBudgetNanoUsd: 300e9, rpmLimit: 150 }, maximums, nowMs, before);
    assert.throws(
      () => checkMaximums({ ...before, maxBudgetNanoUsd: 501e9 }, maximums, nowMs, before),
      refusal('maxBudget: 501 exceeds maximum 200'),
    );
    assert.throws(
      () => checkMaximums({ ...before, tpmLimit: null }, maximums, nowMs, before),
      refusal('tpmLimit: unlimited exceeds maximum 20000'),
    );
  });
});
