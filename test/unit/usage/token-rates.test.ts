import assert from 'node:assert/strict';
import fc from 'fast-check';
import { maxAmountUsd } from '../../../lib/usage/money.ts';
import { costOfTokens } from '../../../lib/usage/token-rates.ts';

const rate = fc.oneof(fc.nat(1000), fc.nat(1_000_000_000));
const count = fc.oneof(fc.nat(10_000), fc.nat(1_000_000_000));

describe('costOfTokens', () => {
  it('is what whole numbers of any size come to, rounded half up once', () => {
    fc.assert(
      fc.property(
        fc.record({ input: rate, output: rate, cacheRead: rate, cacheWrite: rate }),
        fc.record({ uncached: count, outputTokens: count, cacheReadTokens: count, cacheWriteTokens: count }),
        (rates, { uncached, ...counts }) => {
          const inputTokens = uncached + counts.cacheReadTokens + counts.cacheWriteTokens;
          const picoUsd =
            BigInt(uncached) * BigInt(rates.input) +
            BigInt(counts.outputTokens) * BigInt(rates.output) +
            BigInt(counts.cacheReadTokens) * BigInt(rates.cacheRead) +
            BigInt(counts.cacheWriteTokens) * BigInt(rates.cacheWrite);
          const nanoUsd = (picoUsd + 500n) / 1000n;
          const largest = BigInt(maxAmountUsd) * 1_000_000_000n;
          const expected = nanoUsd < largest ? nanoUsd : largest;
          assert.equal(BigInt(costOfTokens(rates, { inputTokens, ...counts })), expected);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
