import assert from 'node:assert/strict';
import { gatewayPrices } from '../../../lib/gateway/prices.ts';
import { noTokens } from '../../../lib/usage/usage.ts';

describe('gatewayPrices', () => {
  const prices = gatewayPrices();

  for (const [model, inputUsd, outputUsd] of [
    ['echo', 1, 2],
    ['gpt-4o', 2.5, 10],
    ['gpt-4o-2024-08-06', 2.5, 10],
    ['gpt-4o-mini', 0.15, 0.6],
    ['gpt-4o-mini-2024-07-18', 0.15, 0.6],
    ['claude-sonnet-4', 3, 15],
    ['claude-sonnet-4-20250514', 3, 15],
    ['claude-sonnet-4-0', 3, 15],
    ['gemini-2.5-flash', 0.3, 2.5],
    ['gemini-2.5-flash-lite', 0.1, 0.4],
  ] as const) {
    it(`has ${model} at $${inputUsd} and $${outputUsd} per million tokens`, () => {
      const price = prices.find(model);
      const million = 1_000_000;
      assert.deepEqual(
        [
          price?.costNanoUsd({ ...noTokens, inputTokens: million }),
          price?.costNanoUsd({ ...noTokens, outputTokens: million }),
        ],
        [inputUsd * 1e9, outputUsd * 1e9],
      );
    });
  }

  it('lists models by their plain names', () => {
    assert.ok(['echo', 'gpt-4o', 'claude-sonnet-4', 'gemini-2.5-flash'].every((name) => prices.names.includes(name)));
    assert.deepEqual(
      prices.names.filter((name) => name.includes('*')),
      [],
    );
  });

  for (const model of ['gpt-4o-audio-preview', 'gpt-4o-realtime', 'claude-sonnet-4-99', 'llama-3', '']) {
    it(`has no price for ${JSON.stringify(model)}`, () => {
      assert.equal(prices.find(model), undefined);
    });
  }
});
