import assert from 'node:assert/strict';
import { chargedUsage } from '../../../lib/usage/charge.ts';
import type { MeterResult } from '../../../lib/usage/meter.ts';

const estimate = { inputTokens: 100, outputTokens: 1000, cacheReadTokens: 0, cacheWriteTokens: 0 };
const usage = { inputTokens: 90, outputTokens: 50, cacheReadTokens: 10, cacheWriteTokens: 0 };
const unread: MeterResult = { usage: null, seen: { outputTokens: 0 }, model: null, complete: true, error: false };

describe('chargedUsage', () => {
  const cases: [string, Partial<MeterResult>, object][] = [
    ['charges what a whole response reported', { usage, seen: { outputTokens: 7 } }, { usage, source: 'reported' }],
    [
      'charges what was seen on top of what was reported until the response broke off',
      { usage, seen: { outputTokens: 7 }, complete: false },
      { usage: { ...usage, outputTokens: 57 }, source: 'partial' },
    ],
    [
      'takes a response with an error in it for broken off',
      { usage, seen: { outputTokens: 7 }, error: true },
      { usage: { ...usage, outputTokens: 57 }, source: 'partial' },
    ],
    [
      'charges the estimated input and the output seen when a response without usage broke off',
      { seen: { outputTokens: 7 }, complete: false },
      { usage: { ...estimate, outputTokens: 7 }, source: 'partial' },
    ],
    [
      'charges the estimated input when a response broke off before any output',
      { complete: false },
      { usage: { ...estimate, outputTokens: 0 }, source: 'partial' },
    ],
    [
      'charges the output seen in a whole response without usage',
      { seen: { outputTokens: 7 } },
      { usage: { ...estimate, outputTokens: 7 }, source: 'estimated' },
    ],
    [
      'charges the output seen when the usage reported is impossible',
      { seen: { outputTokens: 7 }, problem: 'impossible_usage' },
      { usage: { ...estimate, outputTokens: 7 }, source: 'estimated' },
    ],
    ['charges the estimate when nothing was seen in a whole response', {}, { usage: estimate, source: 'estimated' }],
    [
      'charges the estimate when a body was cut off in the middle',
      { complete: false, problem: 'not_json' },
      { usage: estimate, source: 'partial' },
    ],
    [
      'charges the estimate, or more if more was seen, when not all could be read',
      { seen: { outputTokens: 2000 }, problem: 'too_large' },
      { usage: { ...estimate, outputTokens: 2000 }, source: 'estimated' },
    ],
    [
      'charges the estimated input when the response was nothing but an error',
      { error: true },
      { usage: { ...estimate, outputTokens: 0 }, source: 'partial' },
    ],
    [
      'charges the estimate when the encoding could not be decoded',
      { complete: false, problem: 'content_encoding' },
      { usage: estimate, source: 'estimated' },
    ],
    [
      'charges the estimate when the content type has no usage',
      { complete: false, problem: 'content_type' },
      { usage: estimate, source: 'estimated' },
    ],
  ];
  for (const [title, result, expected] of cases) {
    it(title, () => {
      assert.deepEqual(chargedUsage({ ...unread, ...result }, estimate), expected);
    });
  }
});
