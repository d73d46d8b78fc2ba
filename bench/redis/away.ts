import { Redis } from 'ioredis';
import { admissions, knownAdmissions } from '../admissions.ts';
import { timesAway } from '../away.ts';
import { type Bench, duration, figuresOf, type Report, speed } from '../report.ts';
import { flexibleLimits, oneLimit, unionOfTwo } from './peers.ts';
import { onRedis, openRedis, type RedisOfBench } from './server.ts';

/** What a network costs that takes a millisecond each way. */
export const redisAwayBench: Bench = {
  name: 'redis-away',
  title: 'admissions of 1,000 keys on a Redis that is a millisecond away',
  run: () => onRedis(measure),
};

async function measure({ server, store }: RedisOfBench): Promise<Report> {
  const { keyIds } = await admissions(store, 1000);
  const times = await timesAway(server.port, (port) => open(port, keyIds), { callers: 64, operations: [250, 3000] });
  const away = (name: string, callers: number) => `${name}, 1 ms away, c=${callers}`;
  return {
    figures: figuresOf(times),
    ratios: [
      duration(times, away('admit(6)', 1), away(oneLimit, 1)),
      duration(times, away('admit(6)', 1), away(unionOfTwo, 1)),
      speed(times, away('admit(6)', 64), away(oneLimit, 64)),
      speed(times, away('admit(6)', 64), away(unionOfTwo, 64)),
    ],
  };
}

async function open(port: number, keyIds: readonly string[]) {
  const client = new Redis(port, '127.0.0.1');
  const store = openRedis(client);
  const { admit, pair } = knownAdmissions(store, keyIds);
  const { one, union } = flexibleLimits(client, keyIds);
  return {
    acts: {
      PING: async () => (await client.ping()) === 'PONG',
      'admit(6)': admit,
      'admit(6) + settle': pair,
      [oneLimit]: one,
      [unionOfTwo]: union,
    },
    async close() {
      await store.close();
      client.disconnect();
    },
  };
}
