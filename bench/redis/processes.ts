import { growth } from '../growth.ts';
import type { Bench } from '../report.ts';
import { onRedis } from './server.ts';

/** How the store grows from one process to four. */
export const redisProcessesBench: Bench = {
  name: 'redis-processes',
  title: 'admissions of several processes on one Redis, 16 callers in each',
  run: () =>
    onRedis(({ server: { url }, store }) =>
      growth({ url, store, side: 'redis', peer: 'RLF on redis', callers: 16, operations: 4000 }),
    ),
};
