import type { IncomingMessage } from 'node:http';
import type { Judged } from '../keys/admissions.ts';
import type { Internals } from '../keys/internals.ts';
import type { UsageInput } from '../keys/usage-input.ts';
import type { TokenUsage } from '../usage/usage.ts';
import type { HeldCall } from './held-call.ts';
import type { Leaving } from './leaving.ts';
import type { DescribedRoute } from './route.ts';

/** Whether a request presented a key that is good, none where none is needed, or was not to be looked at. */
export type LlmState = 'authenticated' | 'anonymous' | 'skipped';

/** Who presented which secret. */
export interface Credential extends Judged {
  readonly secretHashes: readonly string[];
  /** Where the request comes from. */
  readonly address: string | undefined;
}

/** How the calls of a handler are metered; set by `recordUsage`. */
export interface UpstreamSettings {
  /** Refuses models that the key may not use also on the handler's own calls. */
  readonly enforceModels: boolean;
  readonly injectUsage: boolean;
  /** How long an answer that the client has left is read on for its usage; 0: not at all. */
  readonly drainMs: number;
}

/** What the middlewares know of one request, each adding its part for those after it. */
export interface LlmRequest {
  readonly state: LlmState;
  readonly requestId: string;
  readonly service: Internals;
  /** Set where the state is `authenticated`; read again where the records turn out to be newer. */
  credential: Credential | undefined;
  /** Set by `requireModelAccess`. */
  route: DescribedRoute | undefined;
  /** Set by `rateLimit`. */
  call: HeldCall | undefined;
  /** What the handler says that the call consumed, instead of what the response tells. */
  recorded: UsageInput | undefined;
  /** How calls of the handler are metered that go through `req.llm.fetch`. */
  upstream: UpstreamSettings;
  /** The handler has such calls made or refused: what they consume is charged there, and its response is not read. */
  isDelegated: boolean;
  /** Of refusals by a budget; set by `rateLimit`. */
  budgetStatus: 429 | 402 | undefined;
  /** How long calls are decided without the store while it is down; `undefined`: not at all. Set by `rateLimit`. */
  maxOutageMs: number | undefined;
  /** What the call was charged for, once it is known. */
  usage: TokenUsage | undefined;
  readonly leaving: Leaving;
  /** Names of the middlewares that have acted on the request. */
  readonly acted: string[];
}

const registered = Symbol.for('express-llm-keys.requests');

/** One for both copies of the package (ESM and CommonJS), so that the middlewares of both work on one request. */
const requests = (() => {
  const globals = globalThis as { [registered]?: WeakMap<IncomingMessage, LlmRequest> };
  globals[registered] ??= new WeakMap();
  return globals[registered];
})();

export function findLlmRequest(request: IncomingMessage): LlmRequest | undefined {
  return requests.get(request);
}

// Not on the request itself: Express changes the prototype of each one, and what is then written to it gets a hidden class
// of its own every time, which takes ten times as long.
export function attachLlmRequest(request: IncomingMessage, llm: LlmRequest): void {
  requests.set(request, llm);
}
