import type { ServerResponse } from 'node:http';

/** In a map of their own: see `llm-request.ts`. */
const closings = new WeakMap<ServerResponse, (() => void)[]>();

/**
 * Runs an act when the response is closed, complete or not; at once, if it is. Acts run in the order in which they were
 * asked for. One listener serves them all: Node warns of more than ten, and a handler's `pipeline` takes seven.
 */
export function whenClosed(response: ServerResponse, act: () => void): void {
  if (response.closed) {
    act();
    return;
  }
  const waiting = closings.get(response);
  if (waiting !== undefined) {
    waiting.push(act);
    return;
  }
  closings.set(response, [act]);
  response.on('close', runClosings);
}

function runClosings(this: ServerResponse): void {
  for (const act of closings.get(this) ?? []) act();
}
