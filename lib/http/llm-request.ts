import type { IncomingMessage } from 'node:http';
import type { Internals } from '../keys/internals.ts';
import type { Principal } from '../keys/principals.ts';
import type { HeldCall } from './held-call.ts';
import type { DescribedRoute } from './route-table.ts';

/** Whether a request presented a key that is good, none where none is needed, or was not to be looked at. */
export type LlmState = 'authenticated' | 'anonymous' | 'skipped';

/** What the middlewares know of one request, each adding its part for those after it. */
export interface LlmRequest {
  readonly state: LlmState;
  readonly requestId: string;
  readonly service: Internals;
  /** Set where the state is `authenticated`; replaced when the records turn out to be newer. */
  principal: Principal | undefined;
  secretHashes: readonly string[];
  notAfterMs: number | null;
  /** Set by `requireModelAccess`. */
  route: DescribedRoute | undefined;
  /** Set by `rateLimit`. */
  call: HeldCall | undefined;
  /** Names of the middlewares that have acted on the request. */
  readonly acted: Set<string>;
  readonly abort: AbortController;
}

// Registered, so that middlewares of the ESM and of the CommonJS copy of the package work on one request.
const llmRequest = Symbol.for('express-llm-keys.request');

type Carrier = IncomingMessage & { [llmRequest]?: LlmRequest };

export function findLlmRequest(request: IncomingMessage): LlmRequest | undefined {
  return (request as Carrier)[llmRequest];
}

export function attachLlmRequest(request: IncomingMessage, llm: LlmRequest): void {
  (request as Carrier)[llmRequest] = llm;
}
