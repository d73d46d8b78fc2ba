import type { TokenUsage } from './usage.ts';

/** What one model costs. */
export interface ModelPrice {
  /** The entry of the table or catalog that matched. */
  readonly matched: string;
  /** Pico-dollars (10⁻¹²) of one output token, for clamping an output to a budget. */
  readonly outputPicoUsdPerToken: number;
  readonly maxOutputTokens: number | null;
  /** Exact cost in nano-dollars, rounded once at the end. */
  costNanoUsd(usage: TokenUsage): number;
}

export interface PriceBook {
  /** `undefined`: no price is known, which never means free. */
  find(model: string): ModelPrice | undefined;
}
