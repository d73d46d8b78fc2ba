/** So high that no operation of a bench is refused by them. */
const plenty = 1_000_000_000;

/** Requests and tokens by minute and by day, calls at once, and money: what a key of the benches is held against. */
export const sixLimits = {
  rpmLimit: plenty,
  rpdLimit: plenty,
  tpmLimit: plenty,
  tpdLimit: plenty,
  maxParallelRequests: plenty,
  maxBudget: 1_000_000,
} as const;

/** The same without those by day. */
export const fourLimits = {
  rpmLimit: plenty,
  tpmLimit: plenty,
  maxParallelRequests: plenty,
  maxBudget: 1_000_000,
} as const;

/** Eight more, of a user, a team and everybody. */
export const policiesOfEight = {
  user: { rpmLimit: plenty, tpmLimit: plenty, maxBudget: 1_000_000 },
  team: { rpmLimit: plenty, tpmLimit: plenty, maxBudget: 1_000_000 },
  global: { rpmLimit: plenty, tpmLimit: plenty },
} as const;

export const model = 'gpt-4o';
export const endpoint = '/v1/chat/completions';
export const usage = { inputTokens: 60, outputTokens: 30, cacheReadTokens: 0, cacheWriteTokens: 0 };
export const amounts = { tokens: 100, costNanoUsd: 500_000 };

/** Every index below `size` in an order that no cache foresees: `size` and the step have no common divisor. */
export function scattered(size: number): (operation: number) => number {
  return size === 1 ? () => 0 : (operation) => (operation * 48_271) % size;
}
