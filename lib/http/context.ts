import { IncomingMessage } from 'node:http';
import { Http2ServerRequest } from 'node:http2';
import { showKeySettings } from '../keys/show-key.ts';
import type { KeySettings } from '../keys/shown-key.ts';
import type { UsageInput } from '../keys/usage-input.ts';
import type { Hold } from '../stores/store.ts';
import type { TokenUsage } from '../usage/usage.ts';
import { findLlmRequest, type LlmRequest, type LlmState } from './llm-request.ts';
import { fetchMetered } from './metered-fetch.ts';

/** What the middlewares tell a handler, as `req.llm`. */
export interface LlmContext {
  readonly state: LlmState;
  /** Also the response's `x-request-id`. */
  readonly requestId: string;
  /** Set where the state is `authenticated`. */
  readonly key: KeySettings | undefined;
  /** The model asked for; `null` for routes without one. */
  readonly model: string | null;
  /** Such as `/v1/chat/completions`. */
  readonly endpoint: string | null;
  readonly hold: Hold | undefined;
  /** What the call was charged for, once it is known. */
  readonly usage: TokenUsage | undefined;
  /** Says what the call consumed, instead of what the response tells. The last word before the response ends counts. */
  record(usage: UsageInput): void;
  /**
   * A `fetch` for the handler's own calls: each is held against the limits of the key, and charged by its answer. Give it
   * to the SDK: `new OpenAI({ fetch: req.llm.fetch })`.
   */
  readonly fetch: typeof fetch;
  /** Aborted when the client leaves before the response is complete: pass it to what you call upstream. */
  readonly signal: AbortSignal;
}

/**
 * What the middlewares know of a request; also at `req.llm`.
 *
 * @throws TypeError when `requireApiKey` has not seen the request
 */
export function getLlm(request: IncomingMessage): LlmContext {
  const llm = findLlmRequest(request);
  if (llm === undefined) throw new TypeError('getLlm: requireApiKey has not seen this request; mount it before');
  return contextOf(llm);
}

const extended = new WeakSet<object>();

/**
 * Puts the context at `req.llm`: on the prototype of Express's requests, where Express has its own `req.ip`, since a
 * property of each request takes longer than finding its key. Where no middleware has seen a request, it is undefined.
 */
export function exposeContext(request: IncomingMessage): void {
  const shared = sharedPrototypeOf(request);
  if (extended.has(shared)) return;
  extended.add(shared);
  // The other copy of the package may have been here.
  if (!Object.hasOwn(shared, 'llm')) Object.defineProperty(shared, 'llm', contextProperty);
}

/** What all requests of one copy of Express have in common; the request itself, where it is none of Express's. */
function sharedPrototypeOf(request: IncomingMessage): object {
  let shared: object = request;
  for (let next = Object.getPrototypeOf(shared); next !== null; next = Object.getPrototypeOf(shared)) {
    if (next === IncomingMessage.prototype || next === Http2ServerRequest.prototype) break;
    shared = next;
  }
  return shared;
}

const contextProperty: PropertyDescriptor & ThisType<IncomingMessage> = {
  configurable: true,
  get() {
    const llm = findLlmRequest(this);
    return llm && contextOf(llm);
  },
  set(value: unknown) {
    Object.defineProperty(this, 'llm', { configurable: true, enumerable: true, writable: true, value });
  },
};

const contexts = new WeakMap<LlmRequest, LlmContext>();

function contextOf(llm: LlmRequest): LlmContext {
  const existing = contexts.get(llm);
  if (existing !== undefined) return existing;
  const context: LlmContext = {
    state: llm.state,
    requestId: llm.requestId,
    get key() {
      const key = llm.credential?.principal.key;
      return key && showKeySettings(key);
    },
    get model() {
      return llm.route?.model ?? null;
    },
    get endpoint() {
      return llm.route?.route.endpoint ?? null;
    },
    get hold() {
      return llm.call?.hold;
    },
    get usage() {
      return llm.usage;
    },
    record(usage) {
      llm.recorded = usage;
    },
    fetch: (input, init) => fetchMetered(llm, input, init),
    get signal() {
      return llm.leaving.signal;
    },
  };
  contexts.set(llm, context);
  return context;
}
