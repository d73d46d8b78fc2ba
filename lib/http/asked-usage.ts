import type { IncomingMessage } from 'node:http';
import { jsonBody, replaceBody } from './request-body.ts';
import type { DescribedRoute } from './route.ts';

/**
 * Asks for the usage of a stream in the client's place, where it has not done so itself and the usage comes only when
 * asked for. Answers whether it did: the chunk that carries it is then not the client's.
 */
export function askForUsage(request: IncomingMessage, { route, streams }: DescribedRoute): boolean {
  const body = jsonBody(request);
  if (!streams || !route.usageOnRequest || body === undefined) return false;
  const given = body.stream_options;
  const streamOptions = typeof given === 'object' && given !== null ? given : {};
  if ('include_usage' in streamOptions && streamOptions.include_usage === true) return false;
  replaceBody(request, { ...body, stream_options: { ...streamOptions, include_usage: true } });
  // A compressed stream cannot be cut: a handler that forwards headers must not ask for one.
  request.headers['accept-encoding'] = 'identity';
  return true;
}
