import type { IncomingMessage } from 'node:http';
import { refuseUnknownOptions } from '../options.ts';
import type { Logger } from '../stores/store.ts';

/**
 * Checks the options of a middleware when it is made.
 *
 * @throws TypeError for an option that does not exist, and when the factory itself was mounted
 */
export function checkMiddlewareOptions(where: string, options: unknown, names: readonly string[]): void {
  if (isRequest(options)) throw new TypeError(`${where}: mount what it returns: app.use(${where}(…))`);
  if (typeof options !== 'object' || options === null) throw new TypeError(`${where}: options must be an object`);
  refuseUnknownOptions(where, options, names);
}

/** What a middleware of this package that stands too early, or without the one before it, tells the developer. */
export function wrongOrder(where: string, before: string): TypeError {
  return new TypeError(`${where}: mount ${before} before it, on the same route`);
}

const warned = new WeakMap<Logger, Set<string>>();

/** Warns of a mistake in how an app is put together: once, since it comes with every request. */
export function warnOnce(logger: Logger, message: string): void {
  const messages = warned.get(logger) ?? new Set();
  warned.set(logger, messages);
  if (messages.has(message)) return;
  messages.add(message);
  logger.warn(message);
}

function isRequest(value: unknown): value is IncomingMessage {
  return typeof value === 'object' && value !== null && 'rawHeaders' in value && 'socket' in value;
}
