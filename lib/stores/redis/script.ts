import { createHash } from 'node:crypto';
import { StoreUnavailableError } from '../../errors.ts';
import type { RedisClient } from './client.ts';

/** One atomic act in Lua, and how its reply is read. */
export interface Script<R> {
  readonly lua: string;
  readonly sha1: string;
  readonly read: (reply: unknown) => R;
}

/** @param parts Lua texts; the ones before the last define what that one uses. */
export function defineScript<R>(parts: readonly string[], read: (reply: unknown) => R): Script<R> {
  const lua = parts.join('\n');
  return { lua, sha1: createHash('sha1').update(lua).digest('hex'), read };
}

/**
 * Runs a script on the node that has its keys, which are all in one slot.
 *
 * @throws StoreUnavailableError with the driver's error as `cause`
 */
export type RunScript = <R>(
  script: Script<R>,
  keys: readonly string[],
  args: readonly (string | number)[],
) => Promise<R>;

export function createScriptRunner(client: RedisClient): RunScript {
  return async ({ lua, sha1, read }, keys, args) => {
    let reply: unknown;
    try {
      reply = await client.evalsha(sha1, keys.length, ...keys, ...args);
    } catch (error) {
      if (!isForgotten(error)) throw noAnswer(error);
      reply = await asked(() => client.eval(lua, keys.length, ...keys, ...args));
    }
    return read(reply);
  };
}

/** The cache of scripts is empty after a restart, a failover or SCRIPT FLUSH; nothing has run then. */
function isForgotten(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT');
}

/** What Redis answers; that it does not is told by the one error that a store throws. */
export async function asked<T>(command: () => Promise<T>): Promise<T> {
  try {
    return await command();
  } catch (error) {
    throw noAnswer(error);
  }
}

const oneOfMany = 'This Redis is one node of a Cluster, and has not all of the keys: pass a Cluster of ioredis';

function noAnswer(cause: unknown): StoreUnavailableError {
  // A Cluster follows these itself. The log tells the message of the cause, so that one has to name the remedy, too.
  if (cause instanceof Error && cause.message.startsWith('MOVED ')) {
    return new StoreUnavailableError(oneOfMany, { cause: new Error(oneOfMany, { cause }) });
  }
  return new StoreUnavailableError('Redis could not answer', { cause });
}

export function isText(reply: unknown): reply is string {
  return typeof reply === 'string';
}

/** @throws StoreUnavailableError where a reply has another shape than its script says */
export function readTexts(reply: unknown): readonly string[] {
  if (Array.isArray(reply) && reply.every(isText)) return reply;
  throw unexpectedReply();
}

export function unexpectedReply(): StoreUnavailableError {
  return new StoreUnavailableError('Redis gave a reply of an unexpected shape');
}
