import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { RateLimiterRedis, RateLimiterUnion } from 'rate-limiter-flexible';
import { redisStore } from '../lib/stores/redis/redis-store.ts';
import { ownRedisServer } from '../test/support/services/redis-server.ts';
import { type Act, admissions, inParallel } from './admissions.ts';
import { type Contender, race } from './race.ts';
import type { Bench, Figure, Ratio } from './report.ts';

const manyKeys = 1000;

/** The store alone on a server of its own, over the loopback. */
export const redisBench: Bench = {
  name: 'redis',
  title: 'admit with 6 limits on the Redis store',
  async run() {
    const server = await ownRedisServer();
    const client = new Redis(server.url);
    try {
      return await measure(client);
    } finally {
      client.disconnect();
      await server.stop();
    }
  },
};

async function measure(client: Redis) {
  const store = redisStore({ client, prefix: `bench-${randomUUID()}:` });
  const end = store.open({ logger: { warn: () => undefined, error: console.error }, onNotice: () => undefined });
  const hot = await admissions(store, 1);
  const many = await admissions(store, manyKeys);
  const limiter = (keyPrefix: string) =>
    new RateLimiterRedis({ storeClient: client, keyPrefix, points: 1_000_000_000, duration: 60 });
  const single = limiter('single');
  const union = new RateLimiterUnion(limiter('minute'), limiter('day'));
  const contenders: Record<string, Act> = {
    'admit, hot key': hot.admit,
    'admit + settle, hot key': hot.pair,
    [`admit, ${manyKeys} keys`]: many.admit,
    'one limit of rate-limiter-flexible': async () => (await single.consume('hot')).remainingPoints > 0,
    'union of two of rate-limiter-flexible': async () => Object.keys(await union.consume('hot')).length === 2,
  };

  const figures: Figure[] = [];
  const timeAt = async (callers: number, operations: number) => {
    const listed = Object.entries(contenders).map(([name, act]): Contender => {
      return { name: `${name}, c=${callers}`, run: (times) => inParallel(callers, times, act) };
    });
    const times = await race(listed, { operations, rounds: 5 });
    for (const [name, value] of times) figures.push({ name, value, unit: 'ns' });
    return times;
  };
  const alone = await timeAt(1, 1000);
  const at64 = await timeAt(64, 5000);
  end();
  await store.close();

  const speed = (of: string, to: string, atLeast?: number): Ratio => {
    const times = of.endsWith('c=1') ? alone : at64;
    const ratio = (times.get(to) ?? Number.NaN) / (times.get(of) ?? Number.NaN);
    return { of: `speed of ${of}`, to, ratio, ...(atLeast !== undefined && { goal: { atLeast } }) };
  };
  return {
    figures,
    ratios: [
      speed('admit, hot key, c=64', 'one limit of rate-limiter-flexible, c=64', 0.45),
      speed(`admit, ${manyKeys} keys, c=64`, 'one limit of rate-limiter-flexible, c=64'),
      speed(`admit, ${manyKeys} keys, c=64`, 'union of two of rate-limiter-flexible, c=64', 0.85),
      speed('admit, hot key, c=1', 'union of two of rate-limiter-flexible, c=1', 1),
    ],
  };
}
