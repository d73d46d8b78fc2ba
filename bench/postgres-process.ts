import knexFactory from 'knex';
import { postgresStore } from '../lib/stores/postgres/postgres-store.ts';
import { inParallel, knownAdmissions } from './admissions.ts';

/** Admissions that a process is told to ask for, so many at a time. */
export interface AskedAdmissions {
  readonly callers: number;
  readonly operations: number;
}

/** One of several processes that share a Postgres and a key; both are named by its arguments. */
const [url = '', keyId = ''] = process.argv.slice(2);
const knex = knexFactory({ client: 'pg', connection: url, pool: { min: 0, max: 4 } });
const store = postgresStore({ knex, notifications: 'poll' });
store.open({ logger: console, onNotice: () => undefined });
const { admit } = knownAdmissions(store, [keyId]);

process.on('message', async ({ callers, operations }: AskedAdmissions) => {
  process.send?.(await inParallel(callers, operations, admit));
});
process.send?.('ready');
