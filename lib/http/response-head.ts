import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';

/** What a response's headers are changed by, just before they are sent. */
export type HeadChange = (response: ServerResponse) => void;

/** In a map of their own: see `llm-request.ts`. */
const changes = new WeakMap<ServerResponse, HeadChange[]>();

/**
 * Runs a change when the head is about to be sent, after the handler has set its own headers, also those that it gives
 * to `writeHead` itself. Changes run in the order in which they were asked for.
 */
export function beforeHead(response: ServerResponse, change: HeadChange): void {
  const waiting = changes.get(response);
  if (waiting !== undefined) {
    waiting.push(change);
    return;
  }
  const queue = [change];
  changes.set(response, queue);
  const writeHead = response.writeHead as (status: number, message?: string) => ServerResponse;
  response.writeHead = function changedHead(this: ServerResponse, status: number, ...rest: unknown[]) {
    const message = typeof rest[0] === 'string' ? rest[0] : undefined;
    const headers = rest[1] ?? (message === undefined ? rest[0] : undefined);
    setAll(this, headers as OutgoingHttpHeaders | unknown[] | null | undefined);
    this.statusCode = status;
    for (const waitingChange of queue.splice(0)) waitingChange(this);
    return message === undefined
      ? writeHead.call(this, this.statusCode)
      : writeHead.call(this, this.statusCode, message);
  } as ServerResponse['writeHead'];
}

/** Takes what `writeHead` may be given: an object, pairs, or names and values in turn. */
function setAll(response: ServerResponse, headers: OutgoingHttpHeaders | unknown[] | null | undefined): void {
  if (headers === undefined || headers === null) return;
  if (!Array.isArray(headers)) {
    for (const [name, value] of Object.entries(headers)) if (value !== undefined) response.setHeader(name, value);
    return;
  }
  const pairs = Array.isArray(headers[0])
    ? (headers as [string, string][])
    : Array.from({ length: headers.length / 2 }, (_, at) => [headers[at * 2], headers[at * 2 + 1]] as [string, string]);
  const seen = new Set<string>();
  for (const [name, value] of pairs) {
    // The first of a name replaces what was set before; further ones stand beside it.
    if (seen.has(name.toLowerCase())) response.appendHeader(name, value);
    else response.setHeader(name, value);
    seen.add(name.toLowerCase());
  }
}
