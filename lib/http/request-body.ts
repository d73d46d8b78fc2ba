import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

/** A JSON body that a parser has left on the request. */
export type JsonBody = Readonly<Record<string, unknown>>;

/** The parsed body, where it is an object. */
export function jsonBody(request: IncomingMessage): JsonBody | undefined {
  const { body } = request as { body?: unknown };
  return typeof body === 'object' && body !== null && !Array.isArray(body) && !Buffer.isBuffer(body)
    ? (body as JsonBody)
    : undefined;
}

/** Whether a request has a body, parsed or not. */
export function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** Headers that describe the bytes of a body, and are wrong for another one. */
const bodyHeaders = ['content-length', 'content-md5', 'digest', 'content-digest', 'transfer-encoding'];

/** Gives the handler another body than the client sent. Headers that described the old bytes go. */
export function replaceBody(request: IncomingMessage, body: JsonBody): void {
  (request as { body?: unknown }).body = body;
  removeHeaders(request, bodyHeaders);
}

/** Takes headers off a request wherever a handler may read them. */
export function removeHeaders(request: IncomingMessage, names: readonly string[]): void {
  for (const name of names) {
    delete request.headers[name];
    delete request.headersDistinct[name];
  }
  for (let at = request.rawHeaders.length - 2; at >= 0; at -= 2) {
    if (names.includes(request.rawHeaders[at]?.toLowerCase() ?? '')) request.rawHeaders.splice(at, 2);
  }
}
