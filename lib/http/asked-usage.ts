import type { IncomingMessage } from 'node:http';
import { type JsonBody, jsonBody, removeHeaders, replaceBody } from './request-body.ts';
import type { DescribedRoute } from './route.ts';

/**
 * Asks for the usage of a stream in the client's place, where it has not done so itself and the usage comes only when
 * asked for. Answers whether it did: the chunk that carries it is then not the client's.
 */
export function askForUsage(request: IncomingMessage, route: DescribedRoute): boolean {
  const asked = usageAsked(jsonBody(request), route);
  if (asked === undefined) return false;
  replaceBody(request, asked);
  // A compressed stream cannot be cut: a handler that forwards headers must not ask for one.
  removeHeaders(request, ['accept-encoding']);
  request.headers['accept-encoding'] = 'identity';
  return true;
}

/** The body that asks for the usage of its stream; `undefined` where it does, or where the usage comes by itself. */
export function usageAsked(body: JsonBody | undefined, { route, streams }: DescribedRoute): JsonBody | undefined {
  if (!streams || !route.usageOnRequest || body === undefined) return undefined;
  const given = body.stream_options;
  const streamOptions = typeof given === 'object' && given !== null ? given : {};
  if ('include_usage' in streamOptions && streamOptions.include_usage === true) return undefined;
  return { ...body, stream_options: { ...streamOptions, include_usage: true } };
}
