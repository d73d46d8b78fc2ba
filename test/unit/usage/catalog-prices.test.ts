import assert from 'node:assert/strict';
import * as genaiPrices from '@pydantic/genai-prices';
import type { PriceCatalog } from '../../../lib/usage/catalog-prices.ts';
import { priceBook } from '../../../lib/usage/pricing.ts';
import { noTokens } from '../../../lib/usage/usage.ts';

const book = priceBook({}, { catalog: genaiPrices });

/** A catalog that answers one entry for every name, and counts how often it is asked. */
function fakeCatalog(prices: Awaited<ReturnType<PriceCatalog['calcPrice']>> | Error) {
  const asked: string[] = [];
  const catalog: PriceCatalog = {
    calcPrice(_usage, model) {
      asked.push(model);
      if (prices instanceof Error) throw prices;
      return prices;
    },
  };
  return { catalog, asked };
}

describe('priceBook with the catalog @pydantic/genai-prices', () => {
  it('prices cached input lower', () => {
    const usage = { ...noTokens, inputTokens: 10_000, cacheReadTokens: 4_000, outputTokens: 1_000 };
    assert.equal(book.find('gpt-4o')?.costNanoUsd(usage), 6_000 * 2_500 + 4_000 * 1_250 + 1_000 * 10_000);
  });

  it('prices cache writes of a model that has a price for them', () => {
    const usage = { inputTokens: 10_000, cacheReadTokens: 5_000, cacheWriteTokens: 3_000, outputTokens: 1_000 };
    assert.equal(
      book.find('claude-opus-5-5')?.costNanoUsd(usage),
      2_000 * 4_000 + 5_000 * 200 + 3_000 * 5_000 + 1_000 * 20_000,
    );
  });

  it('prices a long prompt by its tier', () => {
    const price = book.find('gemini-2.5-pro');
    const long = { inputTokens: 300_000, cacheReadTokens: 100_000, cacheWriteTokens: 0, outputTokens: 1_000 };
    assert.equal(price?.costNanoUsd(long), 540_000_000);
    assert.equal(price?.costNanoUsd({ ...noTokens, inputTokens: 1_000, outputTokens: 100 }), 2_250_000);
    assert.equal(price?.outputPicoUsdPerToken, 15_000_000, 'the dearest tier');
  });

  it('prices tiers at the dearest when more was cached than sent, where the catalog throws', () => {
    const impossible = { ...noTokens, inputTokens: 10, cacheReadTokens: 20 };
    assert.equal(book.find('gemini-2.5-pro')?.costNanoUsd(impossible), 20 * 250);
  });

  it('prices embeddings, which have no output', () => {
    const usage = { ...noTokens, inputTokens: 1_000_000 };
    assert.equal(book.find('gemini-embedding-001')?.costNanoUsd(usage), 150_000_000);
  });

  it('knows no price for an unknown model, nor for one that is priced by the minute', () => {
    for (const model of ['nobody-knows-this', 'whisper-1', '', '__proto__', 'gpt-5.5-2026-04-01', 'g'.repeat(300)]) {
      assert.equal(book.find(model), undefined, model);
    }
  });

  it('says so when it took an entry of another name', () => {
    const loose = book.find('claude-sonnet-5-5');
    assert.deepEqual([loose?.matched, loose?.matchedLoosely], ['claude-sonnet-5', true]);
    const exact = book.find('claude-sonnet-5');
    assert.deepEqual([exact?.matched, exact?.matchedLoosely], ['claude-sonnet-5', undefined]);
  });

  it('is asked only where the table has nothing', () => {
    const own = priceBook({ 'gpt-4o': { inputPerMillion: 1, outputPerMillion: 1 } }, { catalog: genaiPrices });
    assert.equal(own.find('gpt-4o')?.costNanoUsd({ ...noTokens, inputTokens: 1 }), 1_000);
    assert.equal(own.find('gpt-4')?.costNanoUsd({ ...noTokens, inputTokens: 1 }), 30_000);
  });
});

describe('catalogPrices', () => {
  const flat = { total_price: 0, model: { id: 'm', prices: {} }, model_price: { input_mtok: 1, output_mtok: 2 } };

  it('asks the catalog once for each name, known or not', () => {
    for (const answer of [flat, null]) {
      const { catalog, asked } = fakeCatalog(answer);
      const prices = priceBook({}, { catalog });
      for (const model of ['m', 'm', 'n', 'm']) prices.find(model)?.costNanoUsd({ ...noTokens, inputTokens: 5 });
      assert.deepEqual(asked, ['m', 'n']);
    }
  });

  it('keeps no more than a thousand names', () => {
    const { catalog, asked } = fakeCatalog(null);
    const prices = priceBook({}, { catalog });
    for (let name = 0; name < 1001; name += 1) prices.find(`m${name}`);
    prices.find('m0');
    assert.equal(asked.length, 1002);
  });

  it('leaves a model unpriced on which the catalog throws', () => {
    const { catalog } = fakeCatalog(new Error('broken'));
    assert.equal(priceBook({}, { catalog }).find('m'), undefined);
  });

  it('asks for each cost anew where prices depend on dates', () => {
    const dated = { ...flat, total_price: 0.25, model: { id: 'm', prices: [{ prices: flat.model_price }] } };
    const price = priceBook({}, { catalog: fakeCatalog(dated).catalog }).find('m');
    assert.equal(price?.costNanoUsd({ ...noTokens, inputTokens: 1_000 }), 250_000_000);
  });

  it('never passes on a total that cannot be money', () => {
    for (const total_price of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      const dated = { ...flat, total_price, model: { id: 'm', prices: [] } };
      const price = priceBook({}, { catalog: fakeCatalog(dated).catalog }).find('m');
      assert.equal(price?.costNanoUsd({ ...noTokens, inputTokens: 1_000 }), 1_000_000);
    }
  });

  it('refuses a module that is not the catalog', () => {
    assert.throws(() => Reflect.apply(priceBook, undefined, [{}, { catalog: {} }]), /@pydantic\/genai-prices/);
  });
});
