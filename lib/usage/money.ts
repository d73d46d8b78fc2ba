/**
 * Money inside the package is an integer of nano-dollars, so that sums are exact; outside it is a number in USD.
 * Sums stay below 2^53 because a limit is at most {@link maxAmountUsd}.
 */

/** The largest amount of money taken at once, in USD: 2^53 nano-dollars are a little more. */
export const maxAmountUsd = 9_000_000;

/** Whether a number is an amount of money that this package can hold exactly. */
export function isAmountUsd(usd: number): boolean {
  return Number.isFinite(usd) && usd >= 0 && usd <= maxAmountUsd;
}

/**
 * Nano-dollars of an amount in USD, rounded to the nearest.
 *
 * @throws RangeError when it is negative, not finite or above {@link maxAmountUsd}
 */
export function nanoUsd(usd: number): number {
  if (!isAmountUsd(usd)) throw new RangeError(`An amount in USD must be between 0 and ${maxAmountUsd}, not ${usd}`);
  return Math.round(usd * 1e9);
}

/** USD of an amount in nano-dollars: the nearest number to the exact value. */
export function usd(nano: number): number {
  return nano / 1e9;
}
