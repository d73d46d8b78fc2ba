import type { Redis } from 'ioredis';
import { redisStore } from '../../lib/stores/redis/redis-store.ts';
import { type Act, admissions, inParallel, knownAdmissions } from '../admissions.ts';
import { type Acts, timesAt } from '../loads.ts';
import { race, type Times } from '../race.ts';
import { type Bench, duration, figuresOf, type Report, speed } from '../report.ts';
import { flexibleLimits, oneLimit, unionOfTwo } from './peers.ts';
import { onRedis, prefix, type RedisOfBench } from './server.ts';

const manyKeys = 1000;
const callers = 64;

/** What one process gets through, and what the server pays for it. */
export const redisCallsBench: Bench = {
  name: 'redis-calls',
  title: 'admissions of one process on the Redis store, and consumptions of rate-limiter-flexible (RLF)',
  run: () => onRedis(measure),
};

async function measure({ client, store }: RedisOfBench): Promise<Report> {
  const hot = await admissions(store, 1);
  const hot14 = await admissions(store, 1, 14);
  const many = await admissions(store, manyKeys);
  const many14 = await admissions(store, manyKeys, 14);
  const ofOne = flexibleLimits(client, hot.keyIds);
  const ofMany = flexibleLimits(client, many.keyIds);
  const spread: Acts = {
    'admit(6), 1,000 keys': many.admit,
    'admit(14), 1,000 keys': many14.admit,
    [`${unionOfTwo}, 1,000 keys`]: ofMany.union,
  };

  const alone = await timesAt(
    1,
    {
      'admit(6)': many.admit,
      'admit(6) + settle': many.pair,
      'admit(14)': many14.admit,
      [oneLimit]: ofMany.one,
      [unionOfTwo]: ofMany.union,
    },
    { operations: 1500 },
  );
  const together = await timesAt(
    callers,
    {
      'admit(6), one key': hot.admit,
      'admit(6), one key, not grouped': ungrouped(client, hot.keyIds),
      'admit(6) + settle, one key': hot.pair,
      'admit(14), one key': hot14.admit,
      [`${oneLimit}, one key`]: ofOne.one,
      [`${unionOfTwo}, one key`]: ofOne.union,
      ...spread,
      'admit(6) + settle, 1,000 keys': many.pair,
      [`${oneLimit}, 1,000 keys`]: ofMany.one,
    },
    { operations: 5000 },
  );
  const cpu = await cpuTimes(client, spread);
  return {
    figures: [...figuresOf(alone), ...figuresOf(together), ...figuresOf(cpu, 'us')],
    ratios: [
      speed(together, 'admit(6), 1,000 keys, c=64', `${oneLimit}, 1,000 keys, c=64`, 0.6),
      speed(together, 'admit(6), 1,000 keys, c=64', `${unionOfTwo}, 1,000 keys, c=64`, 1.1),
      speed(together, 'admit(14), 1,000 keys, c=64', `${unionOfTwo}, 1,000 keys, c=64`),
      speed(together, 'admit(6), one key, c=64', `${oneLimit}, one key, c=64`, 0.9),
      speed(together, 'admit(6), one key, c=64', 'admit(6), one key, not grouped, c=64', 2),
      duration(alone, 'admit(6), c=1', `${unionOfTwo}, c=1`, 0.75),
      duration(cpu, 'server CPU of admit(6), 1,000 keys', `server CPU of ${unionOfTwo}, 1,000 keys`, 1.5),
      duration(cpu, 'server CPU of admit(14), 1,000 keys', `server CPU of ${unionOfTwo}, 1,000 keys`, 2.2),
    ],
  };
}

/** As many stores as callers: a store has one script for those who come to it in one tick. */
function ungrouped(client: Redis, keyIds: readonly string[]): Act {
  const alone = Array.from({ length: callers }, () => knownAdmissions(redisStore({ client, prefix }), keyIds).admit);
  return async (index) => (await alone[index % callers]?.(index)) ?? false;
}

/** Noise of other processes hardly shows in what the server counts itself. */
function cpuTimes(client: Redis, acts: Acts): Promise<Times> {
  const contenders = Object.entries(acts).map(([name, act]) => ({
    name: `server CPU of ${name}`,
    run: (operations: number) => inParallel(callers, operations, act),
  }));
  return race(contenders, { operations: 5000, rounds: 5, clockNs: () => cpuNs(client) });
}

async function cpuNs(client: Redis): Promise<number> {
  const info = await client.info('cpu');
  const seconds = (field: string) => Number(new RegExp(`^${field}:(\\S+)`, 'm').exec(info)?.[1]);
  return (seconds('used_cpu_user') + seconds('used_cpu_sys')) * 1e9;
}
