import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type PriceEntry, priceBook } from '../../../lib/usage/pricing.ts';
import type { TokenUsage } from '../../../lib/usage/usage.ts';

function cost(entry: PriceEntry, usage: Partial<TokenUsage>): number | undefined {
  const counts = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0, ...usage };
  return priceBook({ model: entry }).find('model')?.costNanoUsd(counts);
}

const gpt4 = { inputPerMillion: 30, outputPerMillion: 60 };

describe('priceBook', () => {
  it('prices 1000 input and 500 output tokens of gpt-4 at exactly six cents', () => {
    assert.equal(cost(gpt4, { inputTokens: 1000, outputTokens: 500 }), 60_000_000);
  });

  it('takes cached tokens out of the input and prices them at their own rates', () => {
    const entry = { inputPerMillion: 4, outputPerMillion: 20, cacheReadPerMillion: 0.2, cacheWritePerMillion: 5 };
    const usage = { inputTokens: 10_000, cacheReadTokens: 5_000, cacheWriteTokens: 3_000, outputTokens: 1_000 };
    assert.equal(cost(entry, usage), 2_000 * 4_000 + 5_000 * 200 + 3_000 * 5_000 + 1_000 * 20_000);
  });

  it('prices cached tokens as input when they have no price of their own', () => {
    const usage = { inputTokens: 1000, cacheReadTokens: 600, cacheWriteTokens: 300 };
    assert.equal(cost(gpt4, usage), cost(gpt4, { inputTokens: 1000 }));
  });

  it('rounds once, at the end', () => {
    const entry = { inputPerMillion: 0.0004, outputPerMillion: 0.0004 };
    assert.equal(cost(entry, { inputTokens: 1, outputTokens: 1 }), 1);
    assert.equal(cost(entry, { inputTokens: 1 }), 0);
  });

  it('agrees with arithmetic in whole pico-dollars for any price and usage', () => {
    const microUsd = fc.integer({ min: 0, max: 9_000_000_000 });
    const tokens = fc.integer({ min: 0, max: 1_000_000 });
    fc.assert(
      fc.property(
        fc.tuple(microUsd, microUsd, microUsd, microUsd),
        fc.tuple(tokens, tokens, tokens, tokens),
        ([input, output, read, write], [uncached, outputTokens, cacheReadTokens, cacheWriteTokens]) => {
          const entry = {
            inputPerMillion: input / 1e6,
            outputPerMillion: output / 1e6,
            cacheReadPerMillion: read / 1e6,
            cacheWritePerMillion: write / 1e6,
          };
          const inputTokens = uncached + cacheReadTokens + cacheWriteTokens;
          const picoUsd =
            BigInt(uncached) * BigInt(input) +
            BigInt(outputTokens) * BigInt(output) +
            BigInt(cacheReadTokens) * BigInt(read) +
            BigInt(cacheWriteTokens) * BigInt(write);
          const expected = (picoUsd + 500n) / 1000n;
          const ceiling = 9_000_000_000_000_000n;
          assert.equal(
            cost(entry, { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens }),
            Number(expected < ceiling ? expected : ceiling),
          );
        },
      ),
    );
  });

  it('ends at the largest amount of money, whatever the counts', () => {
    assert.equal(cost(gpt4, { outputTokens: Number.POSITIVE_INFINITY }), 9e15);
    assert.equal(cost({ inputPerMillion: 0, outputPerMillion: 0 }, { outputTokens: Number.POSITIVE_INFINITY }), 0);
  });

  it('never makes a cost negative, even when more was cached than sent', () => {
    assert.equal(cost(gpt4, { inputTokens: 10, cacheReadTokens: 20 }), 20 * 30_000);
    assert.throws(() => cost(gpt4, { inputTokens: -1 }), RangeError);
    assert.throws(() => cost(gpt4, { outputTokens: Number.NaN }), RangeError);
  });

  it('prefers the exact name, then the longest prefix, then *', () => {
    const entry = (inputPerMillion: number) => ({ inputPerMillion, outputPerMillion: 1 });
    const book = priceBook({ '*': entry(1), 'gpt-4*': entry(2), 'gpt-4o*': entry(3), 'gpt-4o': entry(4) });
    const matched = (model: string) => book.find(model)?.matched;
    assert.deepEqual(['gpt-4o', 'gpt-4o-mini', 'gpt-4', 'o3', '__proto__', ''].map(matched), [
      'gpt-4o',
      'gpt-4o*',
      'gpt-4*',
      '*',
      '*',
      '*',
    ]);
  });

  it('knows no price for a model that it does not list', () => {
    const book = priceBook({ 'gpt-4o': gpt4 });
    assert.deepEqual(
      ['gpt-4', 'gpt-4o-mini', 'GPT-4o', 'constructor', '__proto__'].map((model) => book.find(model)),
      [undefined, undefined, undefined, undefined, undefined],
    );
  });

  it('tells what an output token costs and how long an output can be', () => {
    const price = priceBook({ 'gpt-4': { ...gpt4, maxOutputTokens: 8192 } }).find('gpt-4');
    assert.equal(price?.outputPicoUsdPerToken, 60_000_000);
    assert.equal(price?.maxOutputTokens, 8192);
  });

  const impossible: [string, unknown, RegExp][] = [
    ['a negative price', { ...gpt4, inputPerMillion: -1 }, /gpt-4\.inputPerMillion .* not -1/],
    ['NaN', { ...gpt4, outputPerMillion: Number.NaN }, /gpt-4\.outputPerMillion .* not NaN/],
    [
      'infinity',
      { ...gpt4, cacheReadPerMillion: Number.POSITIVE_INFINITY },
      /gpt-4\.cacheReadPerMillion .* not Infinity/,
    ],
    ['text for a price', { ...gpt4, cacheWritePerMillion: '3' }, /gpt-4\.cacheWritePerMillion .* not string/],
    ['a missing price', { inputPerMillion: 1 }, /gpt-4\.outputPerMillion .* not undefined/],
    ['half an output token', { ...gpt4, maxOutputTokens: 0.5 }, /gpt-4\.maxOutputTokens .* not 0.5/],
    ['an unknown field', { ...gpt4, inputPerMilion: 3 }, /gpt-4\.inputPerMilion is unknown/],
    ['no object', 3, /gpt-4 must be an object/],
  ];
  for (const [what, entry, message] of impossible) {
    it(`refuses ${what}, naming the entry and the field`, () => {
      assert.throws(() => Reflect.apply(priceBook, undefined, [{ 'gpt-4': entry }]), { name: 'TypeError', message });
    });
  }

  it('refuses patterns with a * that is not the last character, and empty names', () => {
    for (const name of ['gpt-*-mini', '*gpt', 'a**', '']) {
      assert.throws(() => priceBook({ [name]: gpt4 }), TypeError, name);
    }
  });

  it('refuses unknown options, and a table that is none', () => {
    assert.throws(() => Reflect.apply(priceBook, undefined, [{}, { catalogue: {} }]), /option catalogue is unknown/);
    assert.throws(() => Reflect.apply(priceBook, undefined, [[]]), TypeError);
  });
});
