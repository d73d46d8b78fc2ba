import { inBackground, whenAnswered } from '../stores/answered.ts';
import { createMeter, type MeterResult } from '../usage/meter.ts';
import { addUsage, noTokens } from '../usage/usage.ts';
import { consumptionOf } from './consumption.ts';
import type { HeldCall } from './held-call.ts';
import type { LlmRequest } from './llm-request.ts';
import type { JsonBody } from './request-body.ts';
import type { DescribedRoute } from './route.ts';
import type { UpstreamRequest } from './upstream-request.ts';
import { watchedResponse } from './upstream-response.ts';
import { upstreamSignal } from './upstream-signal.ts';

/** A call of a handler that is held and may be sent. */
export interface HeldUpstreamCall {
  readonly route: DescribedRoute;
  readonly call: HeldCall;
  /** What is sent instead of the handler's own JSON body. */
  readonly body: JsonBody | undefined;
  /** The usage of the stream was asked for in the handler's place. */
  readonly injectedUsage: boolean;
}

/** Sends a call and ends it by its answer: charged as far as the answer came, or given back where nothing was consumed. */
export async function sendHeld(llm: LlmRequest, request: UpstreamRequest, held: HeldUpstreamCall): Promise<Response> {
  const { call, route, injectedUsage } = held;
  const { drainMs } = llm.upstream;
  const leaving = llm.leaving.signal;
  const { signal, release } = upstreamSignal({ own: request.signal, leaving, drainMs });

  // Its client may have left while the ledger was asked.
  const isSent = !signal.aborted;
  let response: Response;
  try {
    signal.throwIfAborted();
    response = await request.send(held.body, signal);
  } catch (error) {
    release();
    if (!isSent || wasNeverSent(error)) call.cancel();
    else chargeEstimate(llm, call);
    throw error;
  }
  if (!response.ok) {
    release();
    call.cancel();
    return response;
  }
  // `fetch` has decoded the body already.
  const contentType = response.headers.get('content-type') ?? undefined;
  const meter = createMeter({ format: route.route.format, contentType, injectedUsage });
  const onEnd = () => {
    release();
    inBackground(
      () => whenAnswered(meter.result(), (result) => charge(llm, route, call, result)),
      () => call.settleByEstimate('unmetered'),
    );
  };
  const drains = () => drainMs > 0 && leaving.aborted;
  return watchedResponse(response, { meter, onProgress: call.onProgress, onEnd, drains });
}

function charge(llm: LlmRequest, route: DescribedRoute, call: HeldCall, result: MeterResult): void {
  if (route.model === null) {
    call.settle({ usage: noTokens, model: null, costNanoUsd: 0, source: 'reported' });
    return;
  }
  const consumption = consumptionOf(result, call.estimate);
  llm.usage = addUsage(llm.usage ?? noTokens, consumption.usage);
  call.settle(consumption);
}

/** The upstream may have taken it, and nobody will ever know. */
function chargeEstimate(llm: LlmRequest, call: HeldCall): void {
  llm.usage = addUsage(llm.usage ?? noTokens, call.estimate);
  call.settleByEstimate('broken_off', 'partial');
}

/** Codes of failures before anything was sent, as undici tells them in `cause`. */
const unsentCodes: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

function wasNeverSent(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return typeof cause === 'object' && cause !== null && 'code' in cause && unsentCodes.has(cause.code);
}
