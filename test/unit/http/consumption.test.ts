import assert from 'node:assert/strict';
import { consumptionOf } from '../../../lib/http/consumption.ts';
import type { MeterResult } from '../../../lib/usage/meter.ts';
import { noTokens } from '../../../lib/usage/usage.ts';

describe('consumptionOf', () => {
  const estimate = { ...noTokens, inputTokens: 7, outputTokens: 100 };
  const told = { ...noTokens, inputTokens: 3, outputTokens: 2 };
  const result: MeterResult = { usage: told, seen: { outputTokens: 0 }, model: 'gpt-4o', complete: true, error: false };
  const base = { model: 'gpt-4o', costNanoUsd: null };

  const cases: readonly (readonly [title: string, result: MeterResult, expected: object])[] = [
    ['a whole answer that told it', result, { usage: told, source: 'reported' }],
    [
      'one that broke off after it was told',
      { ...result, complete: false, seen: { outputTokens: 5 } },
      { usage: { ...told, outputTokens: 7 }, source: 'partial', problem: 'broken_off' },
    ],
    [
      'one that broke off before',
      { ...result, usage: null, complete: false, seen: { outputTokens: 5 } },
      { usage: { ...estimate, outputTokens: 5 }, source: 'partial', problem: 'broken_off' },
    ],
    [
      'a whole one that told nothing',
      { ...result, usage: null, seen: { outputTokens: 5 } },
      { usage: { ...estimate, outputTokens: 5 }, source: 'estimated', problem: 'unreported' },
    ],
    [
      'one that could not be read',
      { ...result, usage: null, problem: 'content_type' },
      { usage: estimate, source: 'estimated', problem: 'content_type' },
    ],
  ];
  for (const [title, metered, expected] of cases) {
    it(`charges ${title}, and says why where it was not told`, () => {
      assert.deepEqual(consumptionOf(metered, estimate), { ...base, ...expected });
    });
  }
});
