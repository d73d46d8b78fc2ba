import { isAmountUsd, nanoUsd } from './money.ts';
import type { ModelPrice, PriceBook } from './pricing.ts';
import { costOfTokens, picoUsdPerToken, type TokenRates } from './token-rates.ts';
import type { TokenUsage } from './usage.ts';

/** The part of `@pydantic/genai-prices` that a price book uses. */
export interface PriceCatalog {
  calcPrice(usage: { [unit: string]: number | undefined }, modelId: string): CatalogAnswer | null;
}

interface CatalogAnswer {
  /** USD. */
  readonly total_price: number;
  readonly model: { readonly id: string; readonly prices: unknown };
  readonly model_price: { readonly [unit: string]: number | TieredPrice | undefined };
}

interface TieredPrice {
  readonly base: number;
  readonly tiers: readonly { readonly price: number }[];
}

/** Names longer than this are nobody's model; the catalog would run its patterns over them. */
const maxNameLength = 256;
const maxCachedNames = 1000;

/**
 * Prices of a catalog. Only token prices count: searches, pages and minutes are not in {@link TokenUsage}. A model
 * whose entry has no input price is unpriced, not free, and so is one on which the catalog throws.
 */
export function catalogPrices(catalog: PriceCatalog): Pick<PriceBook, 'find'> {
  if (typeof catalog?.calcPrice !== 'function') {
    throw new TypeError('priceBook: option catalog must be the imported module @pydantic/genai-prices');
  }
  // A look-up costs some 30 µs, and callers choose the names: both hits and misses are kept, in bounded number.
  const cached = new Map<string, ModelPrice | undefined>();
  return {
    find(model) {
      if (cached.has(model)) return cached.get(model);
      if (model.length > maxNameLength) return undefined;
      const price = priceInCatalog(catalog, model);
      if (cached.size >= maxCachedNames) cached.clear();
      cached.set(model, price);
      return price;
    },
  };
}

function priceInCatalog(catalog: PriceCatalog, model: string): ModelPrice | undefined {
  const answer = ask(catalog, model, { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 });
  if (answer === null) return undefined;
  const rates = dearestRates(answer.model_price);
  if (rates === undefined) return undefined;
  return {
    matched: answer.model.id,
    ...(answer.model.id === model ? {} : { matchedLoosely: true }),
    outputPicoUsdPerToken: rates.output,
    maxOutputTokens: null,
    costNanoUsd: isFlat(answer)
      ? (usage) => costOfTokens(rates, usage)
      : (usage) => costByCatalog(catalog, model, usage) ?? costOfTokens(rates, usage),
  };
}

/** The catalog's own sum, for prices that depend on the size of the input or on the time of day. */
function costByCatalog(catalog: PriceCatalog, model: string, usage: TokenUsage): number | undefined {
  const total = ask(catalog, model, usage)?.total_price;
  // The catalog sums floats: a total that cannot be money falls back to the dearest rates.
  return total !== undefined && isAmountUsd(total) ? nanoUsd(total) : undefined;
}

function ask(catalog: PriceCatalog, model: string, usage: TokenUsage): CatalogAnswer | null {
  try {
    return catalog.calcPrice(
      {
        input_tokens: usage.inputTokens,
        output_tokens: usage.outputTokens,
        cache_read_tokens: usage.cacheReadTokens,
        cache_write_tokens: usage.cacheWriteTokens,
      },
      model,
    );
  } catch {
    return null;
  }
}

function dearestRates(price: CatalogAnswer['model_price']): TokenRates | undefined {
  const input = dearest(price.input_mtok);
  if (input === undefined) return undefined;
  return {
    input,
    // Embeddings have no output, and old completion models one price for both.
    output: dearest(price.output_mtok) ?? input,
    cacheRead: dearest(price.cache_read_mtok) ?? input,
    cacheWrite: dearest(price.cache_write_mtok) ?? input,
  };
}

function dearest(price: number | TieredPrice | undefined): number | undefined {
  if (price === undefined) return undefined;
  const usd = typeof price === 'number' ? price : Math.max(price.base, ...price.tiers.map((tier) => tier.price));
  return Number.isFinite(usd) && usd >= 0 ? picoUsdPerToken(usd) : undefined;
}

function isFlat({ model, model_price }: CatalogAnswer): boolean {
  // A list of prices has dates or times of day.
  return !Array.isArray(model.prices) && Object.values(model_price).every((price) => typeof price !== 'object');
}
