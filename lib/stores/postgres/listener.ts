import { setTimeout as delay } from 'node:timers/promises';
import type { Client, Notification } from 'pg';
import type { Logger, StoreNotice } from '../store.ts';
import { backoffMs } from './backoff.ts';
import { type ChangeLog, readPayload } from './change-log.ts';
import type { PostgresConnection } from './connection.ts';

export interface ListenerOptions {
  readonly connection: PostgresConnection;
  readonly changeLog: ChangeLog;
  readonly notify: (notice: StoreNotice) => void;
  readonly logger: Logger;
}

/** A connection whose other end is gone says nothing: it is asked so often, and given so long to answer. */
const heartbeatMs = 15_000;
const answerWithinMs = 5000;

/**
 * Hears of the changes of other processes on a connection of its own, made of knex's settings and not taken from its pool.
 * What was said while there was none is lost: with each connection all that is cached is to be dropped.
 *
 * @returns ends it
 */
export function startListener({ connection, changeLog, notify, logger }: ListenerOptions): () => Promise<void> {
  const { knex } = connection;
  let isClosed = false;
  let failures = 0;
  let hasListened = false;
  let client: Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let connecting = connect();

  async function connect(): Promise<void> {
    try {
      // Asks also whether the tables are there, and has knex work out the settings where a function makes them.
      await connection.query('select 1');
      const opened: Client = await knex.client.acquireRawConnection();
      if (isClosed) return void (await end(opened));
      // Hints are no reason for a process to stay.
      socketOf(opened)?.unref();
      client = opened;
      // Emitted twice where the server ends the connection, and then `end`; without a listener it ends the process.
      opened.on('error', () => lose(opened));
      opened.on('end', () => lose(opened));
      opened.on('notification', (notification) => hear(opened, notification));
      await opened.query(`listen ${changeLog.channel}`);
      await checkIsHeard(opened);
    } catch (error) {
      if (isClosed) return;
      failures += 1;
      if (failures === 1) logger.warn(`Changes of other processes are not heard of: ${messageOf(error)}`);
      retry();
      return;
    }
    // Also the first time: records may have been read and changed before anything was heard.
    notify({ type: 'missed' });
    hasListened = true;
    failures = 0;
    beat();
  }

  let whenHeard: { readonly by: Client; readonly resolve: () => void } | undefined;

  /** Behind a pooler in transaction mode `listen` succeeds, and nothing is ever heard. */
  async function checkIsHeard(by: Client): Promise<void> {
    let deadline: NodeJS.Timeout | undefined;
    const heard = new Promise<void>((resolve, reject) => {
      whenHeard = { by, resolve };
      deadline = setTimeout(() => {
        const remedy = "where a pooler in transaction mode is in between, set notifications: 'poll'";
        reject(new Error(`a notice of its own did not come back within ${answerWithinMs} ms; ${remedy}`));
      }, answerWithinMs);
      deadline.unref();
    });
    try {
      await Promise.all([heard, connection.query('select pg_notify($1, $2)', [changeLog.channel, changeLog.sender])]);
    } catch (error) {
      lose(by);
      throw error;
    } finally {
      clearTimeout(deadline);
      whenHeard = undefined;
    }
  }

  function hear(by: Client, { payload = '' }: Notification): void {
    if (by !== client) return;
    const { sender, notice } = readPayload(payload);
    if (sender !== changeLog.sender) {
      if (notice !== null) notify(notice);
    } else if (notice === null && whenHeard?.by === by) {
      whenHeard.resolve();
    }
  }

  function beat(): void {
    timer = setTimeout(() => {
      if (client === undefined) return;
      checkIsHeard(client).then(beat, () => undefined);
    }, heartbeatMs);
    timer.unref();
  }

  /** Connects anew, once for each connection that is lost. */
  function lose(lost: Client): void {
    if (lost !== client) return;
    client = undefined;
    end(lost).catch(() => undefined);
    if (isClosed || !hasListened) return;
    failures += 1;
    if (failures === 1) logger.warn('The connection that tells of changes is lost, and made anew');
    retry();
  }

  function retry(): void {
    clearTimeout(timer);
    timer = setTimeout(() => {
      connecting = connect();
    }, backoffMs(failures));
    timer.unref();
  }

  async function end(ended: Client): Promise<void> {
    await knex.client.destroyRawConnection(ended);
  }

  return async () => {
    isClosed = true;
    clearTimeout(timer);
    await connecting;
    const open = client;
    client = undefined;
    // A server that does not answer does not take leave either.
    if (open !== undefined)
      await Promise.race([end(open).catch(() => undefined), delay(1000, undefined, { ref: false })]);
  };
}

/** `pg` has the method, and its types do not tell of it. */
function socketOf(client: Client): { unref(): void } | undefined {
  return 'unref' in client ? (client as Client & { unref(): void }) : undefined;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
