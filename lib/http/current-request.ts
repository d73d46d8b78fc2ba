import { AsyncLocalStorage } from 'node:async_hooks';
import type { LlmRequest } from './llm-request.ts';

const registered = Symbol.for('express-llm-keys.current-request');

/** One for both copies of the package (ESM and CommonJS), like the request's own context. */
function currentRequests(): AsyncLocalStorage<LlmRequest> {
  const globals = globalThis as { [registered]?: AsyncLocalStorage<LlmRequest> };
  globals[registered] ??= new AsyncLocalStorage();
  return globals[registered];
}

/** Runs the rest of a request's handling so that {@link currentRequest} finds it. */
export function runInRequest(llm: LlmRequest, handle: () => void): void {
  currentRequests().run(llm, handle);
}

/** The request in whose handling this code runs. */
export function currentRequest(): LlmRequest | undefined {
  return currentRequests().getStore();
}
