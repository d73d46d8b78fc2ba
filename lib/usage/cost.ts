import { type ModelPrice, type PriceBook, priceBook } from './pricing.ts';
import type { TokenUsage } from './usage.ts';

/** What to do with a model that has no price; absent: refused where a budget applies, else allowed. */
export type Unpriced = 'reject' | 'allow' | { readonly inputPerMillion: number; readonly outputPerMillion: number };

/** Prices calls by a price book, and by the policy for models that it does not know. */
export interface Pricing {
  find(model: string | null): ModelPrice | undefined;
  /** Whether a call to a model without a price may go out. */
  mayBeUnpriced(hasBudget: boolean): boolean;
  /** The first of these models that has a price decides; `null`: none has. */
  costNanoUsd(models: readonly (string | null)[], usage: TokenUsage): number | null;
}

export function createPricing(prices: PriceBook | undefined, unpriced: Unpriced | undefined): Pricing {
  const fallback = typeof unpriced === 'object' ? priceBook({ '*': unpriced }).find('') : undefined;
  const find = (model: string | null) => (model === null ? undefined : (prices?.find(model) ?? fallback));
  return {
    find,
    mayBeUnpriced: (hasBudget) => unpriced === 'allow' || (unpriced === undefined && !hasBudget),
    costNanoUsd(models, usage) {
      for (const model of models) {
        const price = find(model);
        if (price !== undefined) return price.costNanoUsd(usage);
      }
      return null;
    },
  };
}
