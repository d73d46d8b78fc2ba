import type { Clock } from '../store.ts';
import type { Query } from './connection.ts';

/** Milliseconds of the database at this moment, which `now()` is not: that is when the transaction began. */
export const clockMsSql = 'floor(extract(epoch from clock_timestamp()) * 1000)::bigint';

/** A clock that a test has brought in place of the database's. */
export type InjectedClock = () => Clock | undefined;

/** SQL for the time of the store, where the parameter of this number is the time of an injected clock, or null. */
export function nowSql(parameter: number): string {
  return `coalesce($${parameter}::bigint, ${clockMsSql})`;
}

/** The time of the store. Within a transaction: ask after all locks are taken, as waiting for them takes time. */
export async function readNow(query: Query, clock: InjectedClock): Promise<number> {
  const injected = clock();
  if (injected !== undefined) return injected();
  const [row] = await query<{ now_ms: string }>(`select ${clockMsSql} as now_ms`);
  return Number(row?.now_ms);
}
