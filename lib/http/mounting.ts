import type { IncomingMessage } from 'node:http';
import { refuseUnknownOptions } from '../options.ts';

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

function isRequest(value: unknown): value is IncomingMessage {
  return typeof value === 'object' && value !== null && 'rawHeaders' in value && 'socket' in value;
}
