import type { StoreNotice } from '../../store.ts';
import type { RedisClient } from '../client.ts';
import { asked, createScriptRunner, type RunScript } from '../script.ts';
import { type RecordNames, recordNames } from './names.ts';

/** How the records reach their keys. */
export interface RecordConnection {
  readonly client: RedisClient;
  readonly run: RunScript;
  readonly names: RecordNames;
  /** A time that replaces the server's, in tests. */
  readonly nowMs: () => number | undefined;
  readonly notify: (notice: StoreNotice) => void;
}

export interface RecordConnectionOptions extends Pick<RecordConnection, 'client' | 'nowMs' | 'notify'> {
  readonly prefix: string;
}

export function createRecordConnection({ prefix, ...options }: RecordConnectionOptions): RecordConnection {
  return { ...options, names: recordNames(prefix), run: createScriptRunner(options.client) };
}

/** The present by the clock that also decides inside the scripts. */
export async function presentMs({ client, nowMs }: Pick<RecordConnection, 'client' | 'nowMs'>): Promise<number> {
  const injected = nowMs();
  if (injected !== undefined) return injected;
  const [seconds, microseconds] = await asked(() => client.time());
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
}
