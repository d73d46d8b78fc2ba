import type { Redis } from 'ioredis';
import { redisStore } from '../../lib/stores/redis/redis-store.ts';
import type { Hold } from '../../lib/stores/store.ts';
import { admissions, inParallel } from '../admissions.ts';
import type { Bench, Figure, Report } from '../report.ts';
import { onRedis, prefix, type RedisOfBench } from './server.ts';

const keyCount = 100_000;
const callers = 64;

/** What keys, calls and the memory of them take. */
export const redisBytesBench: Bench = {
  name: 'redis-bytes',
  title: 'bytes in Redis of keys with limits of requests, tokens, calls at once and money, and of their calls',
  run: () => onRedis(measure),
};

async function measure({ client, store }: RedisOfBench): Promise<Report> {
  const figures: Figure[] = [];
  const figure = (name: string, value: number) => figures.push({ name, value, unit: 'bytes' });
  let used = await usedBytes(client);
  const growthOfKey = async (name: string) => {
    const now = await usedBytes(client);
    figure(`growth of used_memory by each of 100,000 keys, ${name}`, (now - used) / keyCount);
    used = now;
  };

  const { holdFor, settle } = await admissions(store, keyCount, 4);
  await growthOfKey('once the ledger knows it');
  const holds: (Hold | undefined)[] = [];
  await inParallel(callers, keyCount, async (index) => {
    holds[index] = await holdFor(index);
    return true;
  });
  await growthOfKey('when its first call is open');
  figure('an open hold', await meanBytes(client, 'h'));
  const settled = await inParallel(callers, keyCount, (index) => settle(holds[index]));
  if (settled !== keyCount) throw new Error('A call was refused');
  await growthOfKey('when that has ended');

  figure('counters of a key after one call', await meanBytes(client, 's'));
  figure('an ended hold, kept for an hour', await meanBytes(client, 'h'));
  figure('a usage event', await bytesOfEvent(client));
  figure("a key's sums of usage of one day", (await meanBytes(client, 'u')) + (await meanBytes(client, 'd')));
  figure('counters of a key that is called each second', await bytesOfFullWindows(client));
  return { figures, ratios: [] };
}

async function usedBytes(client: Redis): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await client.info('memory'))?.[1]);
}

/** Of what is kept under names of this letter, `MEMORY USAGE` of some hundreds. */
async function meanBytes(client: Redis, letter: string, under = prefix): Promise<number> {
  const names = await someNames(client, `${under}{??}:${letter}:*`);
  const bytes = await Promise.all(names.map((name) => client.memory('USAGE', name, 'SAMPLES', 0)));
  if (bytes.length === 0) throw new Error(`Redis keeps nothing under the letter ${letter}`);
  return bytes.reduce<number>((sum, each) => sum + (each ?? 0), 0) / bytes.length;
}

async function someNames(client: Redis, pattern: string): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const found of client.scanStream({ match: pattern, count: 1000 })) {
    names.push(...found);
    if (names.length >= 500) break;
  }
  return names;
}

async function bytesOfEvent(client: Redis): Promise<number> {
  const streams = await someNames(client, `${prefix}{??}:usage`);
  let bytes = 0;
  let events = 0;
  for (const name of streams) {
    bytes += (await client.memory('USAGE', name, 'SAMPLES', 0)) ?? 0;
    events += await client.xlen(name);
  }
  return bytes / events;
}

/** By a clock that is set, so that each cell of the windows is taken. */
async function bytesOfFullWindows(client: Redis): Promise<number> {
  const apart = 'full:';
  let nowMs = Date.now();
  const store = redisStore({ client, prefix: apart });
  store.open({ logger: console, onNotice: () => undefined, clock: () => nowMs });
  const { pair } = await admissions(store, 1, 4);
  for (let second = 0; second < 150; second += 1) {
    nowMs += 1000;
    if (!(await pair(second))) throw new Error('A call was refused');
  }
  await store.close();
  return meanBytes(client, 's', apart);
}
