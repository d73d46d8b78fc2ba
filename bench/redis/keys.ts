import { admissions } from '../admissions.ts';
import { timesAt } from '../loads.ts';
import { type Bench, figuresOf, type Report, speed } from '../report.ts';
import { flexibleLimits, oneLimit, unionOfTwo } from './peers.ts';
import { onRedis, type RedisOfBench } from './server.ts';

const manyKeys = 100_000;

/** The same with so many keys that no cache holds them. */
export const redisKeysBench: Bench = {
  name: 'redis-keys',
  title: 'admissions of 100,000 keys on the Redis store',
  run: () => onRedis(measure),
};

async function measure({ client, store }: RedisOfBench): Promise<Report> {
  const { keyIds, admit, pair } = await admissions(store, manyKeys);
  const flexible = flexibleLimits(client, keyIds);
  const times = await timesAt(
    64,
    { 'admit(6)': admit, 'admit(6) + settle': pair, [oneLimit]: flexible.one, [unionOfTwo]: flexible.union },
    { operations: 10_000 },
  );
  return {
    figures: figuresOf(times),
    ratios: [
      speed(times, 'admit(6), c=64', `${oneLimit}, c=64`, 0.6),
      speed(times, 'admit(6), c=64', `${unionOfTwo}, c=64`, 1.1),
    ],
  };
}
