import { growth } from '../growth.ts';
import type { Bench } from '../report.ts';
import { onPostgres } from './server.ts';

/** How the store grows from one process to four. */
export const postgresProcessesBench: Bench = {
  name: 'postgres-processes',
  title: 'admissions of several processes on one Postgres, 20 callers and 4 connections in each, fsync on',
  run: () =>
    onPostgres(({ server: { url }, store }) =>
      growth({
        url,
        store,
        side: 'postgres',
        peer: 'RLF on postgres',
        callers: 20,
        operations: 2000,
        goals: { speed: 9, p99Ms: 30 },
      }),
    ),
};
