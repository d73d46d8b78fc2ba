import type { ServerResponse } from 'node:http';

const closings = Symbol('express-llm-keys.closings');

interface ClosingResponse extends ServerResponse {
  [closings]?: (() => void)[];
}

/**
 * Runs an act when the response is closed, complete or not; at once, if it is. Acts run in the order in which they were
 * asked for. One listener serves them all: Node warns of more than ten, and a handler's `pipeline` takes seven.
 */
export function whenClosed(response: ServerResponse, act: () => void): void {
  if (response.closed) {
    act();
    return;
  }
  const closing = response as ClosingResponse;
  const waiting = closing[closings];
  if (waiting !== undefined) {
    waiting.push(act);
    return;
  }
  const acts = [act];
  closing[closings] = acts;
  response.once('close', () => {
    for (const closed of acts) closed();
  });
}
