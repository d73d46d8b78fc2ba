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
  /** A notice has come through, so nothing is in between that gives a connection one session after the other. */
  readonly onHeard: () => void;
  /** Asks for changes, where none are heard of; answers how to end it. */
  readonly pollInstead: () => () => Promise<void>;
}

/** A connection whose other end is gone says nothing: it is asked so often, and given so long to answer. */
const heartbeatMs = 15_000;
const answerWithinMs = 5000;

/**
 * Hears of the changes of other processes on a connection of its own, made of knex's settings and not taken from its pool.
 * What was said while there was none is lost: with each connection all that is cached is to be dropped. Where nothing is
 * heard at all, it asks instead.
 *
 * @returns ends it
 */
export function startListener(options: ListenerOptions): () => Promise<void> {
  const { connection, changeLog, notify, logger, onHeard, pollInstead } = options;
  const { knex } = connection;
  let isClosed = false;
  let failures = 0;
  let hasListened = false;
  let client: Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopPolling: (() => Promise<void>) | undefined;
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
      const heard = await isHeard(opened);
      if (isClosed) return;
      if (client !== opened) throw new Error('the connection was lost');
      if (!heard) return giveUp(opened);
    } catch (error) {
      if (isClosed) return;
      failures += 1;
      if (failures === 1) logger.warn(`Changes of other processes are not heard of: ${messageOf(error)}`);
      if (client !== undefined) drop(client);
      retry();
      return;
    }
    // Also the first time: records may have been read and changed before anything was heard.
    notify({ type: 'missed' });
    onHeard();
    hasListened = true;
    failures = 0;
    beat();
  }

  let whenHeard: { readonly by: Client; readonly resolve: (heard: boolean) => void } | undefined;

  /** Whether a notice of its own comes back. Behind a pooler in transaction mode `listen` succeeds, and none ever does. */
  async function isHeard(by: Client): Promise<boolean> {
    let deadline: NodeJS.Timeout | undefined;
    const heard = new Promise<boolean>((resolve) => {
      whenHeard = { by, resolve };
      deadline = setTimeout(resolve, answerWithinMs, false);
      deadline.unref();
    });
    try {
      await connection.query('select pg_notify($1, $2)', [changeLog.channel, changeLog.sender]);
      return await heard;
    } finally {
      clearTimeout(deadline);
      whenHeard = undefined;
    }
  }

  function giveUp(deaf: Client): void {
    logger.warn(
      'Notices do not come through, as behind a pooler in transaction mode: changes of other processes are asked for ' +
        "instead, as notifications: 'poll' does from the start",
    );
    drop(deaf);
    stopPolling = pollInstead();
  }

  function hear(by: Client, { payload = '' }: Notification): void {
    if (by !== client) return;
    const { sender, notice } = readPayload(payload);
    if (sender !== changeLog.sender) {
      if (notice !== null) notify(notice);
    } else if (notice === null && whenHeard?.by === by) {
      whenHeard.resolve(true);
    }
  }

  function beat(): void {
    timer = setTimeout(() => {
      const asked = client;
      if (asked === undefined) return;
      isHeard(asked).then(
        (heard) => (heard ? beat() : lose(asked)),
        () => lose(asked),
      );
    }, heartbeatMs);
    timer.unref();
  }

  /** Connects anew, once for each connection that is lost. */
  function lose(lost: Client): void {
    if (lost !== client) return;
    drop(lost);
    if (isClosed || !hasListened) return;
    failures += 1;
    if (failures === 1) logger.warn('The connection that tells of changes is lost, and made anew');
    retry();
  }

  function drop(dropped: Client): void {
    client = undefined;
    whenHeard?.resolve(false);
    end(dropped).catch(() => undefined);
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
    whenHeard?.resolve(false);
    await connecting;
    await stopPolling?.();
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
