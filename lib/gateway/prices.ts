import { priceBook } from '../index.ts';
import type { PriceBook, PriceEntry } from '../usage/pricing.ts';

type Prices = { readonly [model: string]: PriceEntry };

const openAI: Prices = {
  'gpt-5': { inputPerMillion: 1.25, outputPerMillion: 10, cacheReadPerMillion: 0.125 },
  'gpt-5-mini': { inputPerMillion: 0.25, outputPerMillion: 2, cacheReadPerMillion: 0.025 },
  'gpt-5-nano': { inputPerMillion: 0.05, outputPerMillion: 0.4, cacheReadPerMillion: 0.005 },
  'gpt-4.1': { inputPerMillion: 2, outputPerMillion: 8, cacheReadPerMillion: 0.5 },
  'gpt-4.1-mini': { inputPerMillion: 0.4, outputPerMillion: 1.6, cacheReadPerMillion: 0.1 },
  'gpt-4.1-nano': { inputPerMillion: 0.1, outputPerMillion: 0.4, cacheReadPerMillion: 0.025 },
  'gpt-4o': { inputPerMillion: 2.5, outputPerMillion: 10, cacheReadPerMillion: 1.25 },
  'gpt-4o-mini': { inputPerMillion: 0.15, outputPerMillion: 0.6, cacheReadPerMillion: 0.075 },
  o3: { inputPerMillion: 2, outputPerMillion: 8, cacheReadPerMillion: 0.5 },
  'o4-mini': { inputPerMillion: 1.1, outputPerMillion: 4.4, cacheReadPerMillion: 0.275 },
  'text-embedding-3-small': { inputPerMillion: 0.02, outputPerMillion: 0 },
  'text-embedding-3-large': { inputPerMillion: 0.13, outputPerMillion: 0 },
  'omni-moderation': { inputPerMillion: 0, outputPerMillion: 0 },
};

const anthropic: Prices = {
  'claude-opus-4': { inputPerMillion: 15, outputPerMillion: 75, cacheReadPerMillion: 1.5, cacheWritePerMillion: 18.75 },
  'claude-opus-4-1': {
    inputPerMillion: 15,
    outputPerMillion: 75,
    cacheReadPerMillion: 1.5,
    cacheWritePerMillion: 18.75,
  },
  'claude-sonnet-4': { inputPerMillion: 3, outputPerMillion: 15, cacheReadPerMillion: 0.3, cacheWritePerMillion: 3.75 },
  'claude-sonnet-4-5': {
    inputPerMillion: 3,
    outputPerMillion: 15,
    cacheReadPerMillion: 0.3,
    cacheWritePerMillion: 3.75,
  },
  'claude-haiku-4-5': { inputPerMillion: 1, outputPerMillion: 5, cacheReadPerMillion: 0.1, cacheWritePerMillion: 1.25 },
  'claude-3-5-haiku': {
    inputPerMillion: 0.8,
    outputPerMillion: 4,
    cacheReadPerMillion: 0.08,
    cacheWritePerMillion: 1,
    maxOutputTokens: 8192,
  },
};

/** Of tiered prices the higher one: a prompt may be long. */
const gemini: Prices = {
  'gemini-2.5-pro': { inputPerMillion: 2.5, outputPerMillion: 15, cacheReadPerMillion: 0.625 },
  'gemini-2.5-flash': { inputPerMillion: 0.3, outputPerMillion: 2.5, cacheReadPerMillion: 0.075 },
  'gemini-2.5-flash-lite': { inputPerMillion: 0.1, outputPerMillion: 0.4, cacheReadPerMillion: 0.025 },
  'gemini-2.0-flash': {
    inputPerMillion: 0.1,
    outputPerMillion: 0.4,
    cacheReadPerMillion: 0.025,
    maxOutputTokens: 8192,
  },
  'gemini-embedding-001': { inputPerMillion: 0.15, outputPerMillion: 0 },
};

/** The longest answer of the gateway's echo model. */
export const echoMaxOutputTokens = 4096;

/**
 * The prices by which the gateway charges: list prices of common models, each also under its dated names, and of the echo
 * model. Models that are not here have no price; a key with a budget cannot use them.
 */
export function gatewayPrices(): PriceBook {
  const models = { ...openAI, ...anthropic, ...gemini };
  const dated = Object.entries(models).flatMap(([model, price]) => datedNames(model).map((name) => [name, price]));
  const echo = { inputPerMillion: 1, outputPerMillion: 2, maxOutputTokens: echoMaxOutputTokens };
  return priceBook({ ...models, ...Object.fromEntries(dated), echo });
}

/** `gpt-4o-2024-08-06`, `claude-sonnet-4-20250514`, `claude-sonnet-4-0`, `omni-moderation-latest`. */
function datedNames(model: string): readonly string[] {
  return [`${model}-20*`, `${model}-latest`, `${model}-0`];
}
