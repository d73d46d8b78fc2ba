import type { Redis } from 'ioredis';
import { RateLimiterRedis, RateLimiterUnion } from 'rate-limiter-flexible';
import type { Act } from '../admissions.ts';
import { scattered, sixLimits } from '../sample-keys.ts';

export const oneLimit = 'RLF one limit';
export const unionOfTwo = 'RLF union of two';

/** What rate-limiter-flexible does for keys of these ids: one limit is one call, and a union asks for each apart. */
export function flexibleLimits(client: Redis, keyIds: readonly string[]): { readonly one: Act; readonly union: Act } {
  const limiter = (keyPrefix: string, duration: number) =>
    new RateLimiterRedis({ storeClient: client, keyPrefix, points: sixLimits.rpmLimit, duration });
  const single = limiter('single', 60);
  const union = new RateLimiterUnion(limiter('minute', 60), limiter('day', 86_400));
  const order = scattered(keyIds.length);
  const keyOf = (index: number) => keyIds[order(index)] ?? '';
  return {
    one: async (index) => (await single.consume(keyOf(index))).remainingPoints > 0,
    union: async (index) => Object.keys(await union.consume(keyOf(index))).length === 2,
  };
}
