import { maxAmountUsd } from './money.ts';
import type { TokenUsage } from './usage.ts';

/** Whole pico-dollars (10⁻¹²) of one token each. */
export interface TokenRates {
  readonly input: number;
  readonly output: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
}

const maxCostNanoUsd = maxAmountUsd * 1e9;
const picoPerNano = 1000;

/** Pico-dollars of one token at a price in USD per million: one dollar per million is a million of them. */
export function picoUsdPerToken(usdPerMillion: number): number {
  return Math.round(usdPerMillion * 1e6);
}

/**
 * Exact cost in nano-dollars: whole pico-dollars are summed and rounded once, half up. It ends at the largest amount
 * that money can hold, whatever the counts.
 *
 * @throws RangeError when a count is negative or NaN
 */
export function costOfTokens(rates: TokenRates, usage: TokenUsage): number {
  const cacheRead = boundedCount(usage.cacheReadTokens);
  const cacheWrite = boundedCount(usage.cacheWriteTokens);
  const output = boundedCount(usage.outputTokens);
  const uncached = Math.max(0, boundedCount(usage.inputTokens) - cacheRead - cacheWrite);
  const picoUsd =
    uncached * rates.input + cacheRead * rates.cacheRead + cacheWrite * rates.cacheWrite + output * rates.output;
  if (picoUsd <= Number.MAX_SAFE_INTEGER) return Math.round(picoUsd / picoPerNano);
  const exact =
    BigInt(uncached) * BigInt(rates.input) +
    BigInt(cacheRead) * BigInt(rates.cacheRead) +
    BigInt(cacheWrite) * BigInt(rates.cacheWrite) +
    BigInt(output) * BigInt(rates.output);
  return Math.min(Number((exact + 500n) / 1000n), maxCostNanoUsd);
}

function boundedCount(tokens: number): number {
  if (!(tokens >= 0)) throw new RangeError(`A token count must not be negative or NaN, not ${tokens}`);
  return Math.min(Math.ceil(tokens), Number.MAX_SAFE_INTEGER);
}
