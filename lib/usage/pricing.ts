import { catalogPrices, type PriceCatalog } from './catalog-prices.ts';
import { maxAmountUsd } from './money.ts';
import { costOfTokens, picoUsdPerToken } from './token-rates.ts';
import type { TokenUsage } from './usage.ts';

/** What one model costs. */
export interface ModelPrice {
  /** The entry of the table or catalog that matched. */
  readonly matched: string;
  /**
   * Set where a catalog answered with an entry of another name than the model's. Often that is a dated release of the
   * same model, but it may be an older relative at another price: worth a warning.
   */
  readonly matchedLoosely?: true;
  /** Pico-dollars (10⁻¹²) of one output token, for clamping an output to a budget. */
  readonly outputPicoUsdPerToken: number;
  readonly maxOutputTokens: number | null;
  /** Exact cost in nano-dollars, rounded once at the end. */
  costNanoUsd(usage: TokenUsage): number;
}

export interface PriceBook {
  /** The names that the table lists outright. */
  readonly names: readonly string[];
  /** `undefined`: no price is known, which never means free. */
  find(model: string): ModelPrice | undefined;
}

/** The price of a model as an operator writes it: USD per million tokens. */
export interface PriceEntry {
  inputPerMillion: number;
  outputPerMillion: number;
  /** @defaultValue `inputPerMillion` */
  cacheReadPerMillion?: number | undefined;
  /** @defaultValue `inputPerMillion` */
  cacheWritePerMillion?: number | undefined;
  /** The longest output the model can give: what a request without a cap of its own may cost at most. */
  maxOutputTokens?: number | undefined;
}

export interface PriceBookOptions {
  /**
   * The imported module `@pydantic/genai-prices`, asked for models that the table doesn't know. A model's rates are read
   * from it once: make a new price book after updating its prices.
   */
  catalog?: PriceCatalog | undefined;
}

/**
 * Prices by model name. Names of the table are exact, `prefix*`, or `*` for every model; the exact one wins, then the
 * longest prefix, then the catalog if the table has nothing. No prices come with this package.
 *
 * @example
 * ```ts
 * const prices = priceBook({ 'gpt-4o*': { inputPerMillion: 2.5, outputPerMillion: 10 } });
 * ```
 * @throws TypeError naming the entry and field that cannot be a price
 */
export function priceBook(table: { readonly [model: string]: PriceEntry }, options: PriceBookOptions = {}): PriceBook {
  if (!isRecord(table)) throw new TypeError('priceBook: the table must be an object of prices by model name');
  refuseUnknown(options, ['catalog'], 'option ');
  const catalog = options.catalog === undefined ? undefined : catalogPrices(options.catalog);

  const exact = new Map<string, ModelPrice>();
  const prefixes: { readonly prefix: string; readonly price: ModelPrice }[] = [];
  for (const [name, entry] of Object.entries(table)) {
    const star = name.indexOf('*');
    if (name === '' || (star >= 0 && star < name.length - 1)) {
      throw new TypeError(`priceBook: ${JSON.stringify(name)} is not a model name, a prefix followed by *, or *`);
    }
    const price = priceOfEntry(name, entry);
    if (star < 0) exact.set(name, price);
    else prefixes.push({ prefix: name.slice(0, -1), price });
  }
  prefixes.sort((a, b) => b.prefix.length - a.prefix.length);

  return {
    names: [...exact.keys()],
    find(model) {
      return exact.get(model) ?? prefixes.find(({ prefix }) => model.startsWith(prefix))?.price ?? catalog?.find(model);
    },
  };
}

/**
 * The price that one entry of a table stands for.
 *
 * @throws TypeError naming the field that cannot be a price
 */
export function priceOfEntry(matched: string, entry: PriceEntry): ModelPrice {
  if (!isRecord(entry)) throw new TypeError(`priceBook: ${matched} must be an object of prices`);
  refuseUnknown(entry, entryFields, `${matched}.`);
  const input = rate(matched, 'inputPerMillion', entry.inputPerMillion);
  const output = rate(matched, 'outputPerMillion', entry.outputPerMillion);
  const rates = {
    input,
    output,
    cacheRead: rate(matched, 'cacheReadPerMillion', entry.cacheReadPerMillion ?? entry.inputPerMillion),
    cacheWrite: rate(matched, 'cacheWritePerMillion', entry.cacheWritePerMillion ?? entry.inputPerMillion),
  };
  const maxOutputTokens = entry.maxOutputTokens ?? null;
  if (maxOutputTokens !== null && !(Number.isSafeInteger(maxOutputTokens) && maxOutputTokens > 0)) {
    throw new TypeError(`priceBook: ${matched}.maxOutputTokens must be a whole number above 0, not ${maxOutputTokens}`);
  }
  return {
    matched,
    outputPicoUsdPerToken: output,
    maxOutputTokens,
    costNanoUsd: (usage) => costOfTokens(rates, usage),
  };
}

const entryFields = [
  'inputPerMillion',
  'outputPerMillion',
  'cacheReadPerMillion',
  'cacheWritePerMillion',
  'maxOutputTokens',
];

function rate(model: string, field: string, usdPerMillion: unknown): number {
  if (typeof usdPerMillion === 'number' && usdPerMillion >= 0 && usdPerMillion <= maxAmountUsd) {
    return picoUsdPerToken(usdPerMillion);
  }
  const given = typeof usdPerMillion === 'number' ? usdPerMillion : typeof usdPerMillion;
  throw new TypeError(`priceBook: ${model}.${field} must be USD per million tokens, 0 or more, not ${given}`);
}

function refuseUnknown(given: object, known: readonly string[], prefix: string): void {
  for (const field of Object.keys(given)) {
    if (!known.includes(field)) {
      throw new TypeError(`priceBook: ${prefix}${field} is unknown; known are ${known.join(', ')}`);
    }
  }
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
