import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isBudgetDuration, periodAt } from '../../../lib/limits/budget-period.ts';

const words = ['hourly', 'daily', 'weekly', 'monthly', 'yearly', 'total'];

function at(text: string): number {
  return Date.parse(text);
}

function period(duration: string, anchor: string, now: string): readonly (string | null)[] {
  const { startMs, endMs } = periodAt(duration, at(anchor), at(now));
  return [startMs, endMs].map((ms) => (ms === null ? null : new Date(ms).toISOString().replace('.000Z', 'Z')));
}

const anyDuration = fc.oneof(
  fc.constantFrom('hourly', 'daily', 'weekly', 'monthly', 'yearly'),
  fc.tuple(fc.integer({ min: 1, max: 400 }), fc.constantFrom('s', 'm', 'h', 'd')).map(([n, unit]) => `${n}${unit}`),
  fc.integer({ min: 1, max: 30 }).map((months) => `${months}mo`),
);
const anyMoment = fc.integer({ min: at('1971-01-01T00:00:00Z'), max: at('2105-01-01T00:00:00Z') });

describe('isBudgetDuration', () => {
  it('knows the calendar words and whole lengths', () => {
    for (const text of [...words, '30d', '1mo', '12h', '90s', '15m', '3650d', '121mo', '315360000s']) {
      assert.equal(isBudgetDuration(text), true, text);
    }
  });

  it('refuses every other text', () => {
    const others = ['1y', 'mo', '30 d', '-1d', '', '0d', '01d', '1.5h', '1H', '1mo ', '\n1d', '1d\n', '1dd', 'Daily'];
    for (const text of [...others, '3651d', '122mo', '999999999d', '9999999999s', '__proto__', '1e3s']) {
      assert.equal(isBudgetDuration(text), false, JSON.stringify(text));
    }
  });
});

describe('periodAt', () => {
  it('throws for a text that is no duration', () => {
    assert.throws(() => periodAt('1y', 0, 0), RangeError);
  });

  it('is without end for the whole life', () => {
    assert.deepEqual(periodAt('total', 5, 1e12), { startMs: 0, endMs: null });
  });

  it('follows the calendar in UTC, whatever the anchor', () => {
    const [anchor, now] = ['2020-06-15T13:14:15Z', '2024-02-29T23:59:59.999Z'];
    assert.deepEqual(
      words.slice(0, 5).map((word) => period(word, anchor, now)),
      [
        ['2024-02-29T23:00:00Z', '2024-03-01T00:00:00Z'],
        ['2024-02-29T00:00:00Z', '2024-03-01T00:00:00Z'],
        ['2024-02-26T00:00:00Z', '2024-03-04T00:00:00Z'],
        ['2024-02-01T00:00:00Z', '2024-03-01T00:00:00Z'],
        ['2024-01-01T00:00:00Z', '2025-01-01T00:00:00Z'],
      ],
    );
  });

  it('begins weeks on Monday, also when it is Monday or Sunday', () => {
    const week = ['2026-01-12T00:00:00Z', '2026-01-19T00:00:00Z'];
    assert.deepEqual(period('weekly', '2026-01-01T00:00:00Z', '2026-01-12T00:00:00Z'), week);
    assert.deepEqual(period('weekly', '2026-01-01T00:00:00Z', '2026-01-18T23:59:59.999Z'), week);
  });

  it('counts months from the anchor itself, at the last day where a month is shorter', () => {
    const anchor = '2026-01-31T10:30:00Z';
    const starts = ['2026-01-31', '2026-02-28', '2026-03-31', '2026-04-30', '2026-05-31'];
    for (const [index, start] of starts.slice(0, 4).entries()) {
      const expected = [`${start}T10:30:00Z`, `${starts[index + 1]}T10:30:00Z`];
      assert.deepEqual(period('1mo', anchor, `${start}T10:30:00Z`), expected);
      const lastMs = at(`${starts[index + 1]}T10:30:00Z`) - 1;
      assert.deepEqual(period('1mo', anchor, new Date(lastMs).toISOString()), expected);
    }
  });

  it('finds 29 February in leap years only', () => {
    const anchor = '2023-12-31T00:00:00Z';
    assert.equal(period('2mo', anchor, '2024-02-10T00:00:00Z')[1], '2024-02-29T00:00:00Z');
    assert.equal(period('2mo', anchor, '2025-02-10T00:00:00Z')[1], '2025-02-28T00:00:00Z');
    assert.equal(period('12mo', '2024-02-29T00:00:00Z', '2027-03-01T00:00:00Z')[1], '2028-02-29T00:00:00Z');
  });

  it('counts days as 24 hours from the anchor', () => {
    const expected = ['2026-03-02T08:00:00Z', '2026-04-01T08:00:00Z'];
    assert.deepEqual(period('30d', '2026-01-31T08:00:00Z', '2026-03-20T00:00:00Z'), expected);
  });

  it('contains its moment, ends where the next begins, and is the same at each of its moments', () => {
    fc.assert(
      fc.property(
        anyDuration,
        anyMoment,
        anyMoment,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (text, anchor, now, share) => {
          const { startMs, endMs } = periodAt(text, anchor, now);
          assert.ok(endMs !== null && startMs <= now && now < endMs);
          assert.equal(periodAt(text, anchor, endMs).startMs, endMs);
          assert.equal(periodAt(text, anchor, startMs - 1).endMs, startMs);
          const within = startMs + Math.floor((endMs - 1 - startMs) * share);
          assert.deepEqual(periodAt(text, anchor, within), { startMs, endMs });
        },
      ),
      { numRuns: 2000 },
    );
  });
});
