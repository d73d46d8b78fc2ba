import { createMeter, type MeterResult } from '../usage/meter.ts';
import { addUsage, noTokens } from '../usage/usage.ts';
import { extendRequest } from './admit-request.ts';
import { usageAsked } from './asked-usage.ts';
import { consumptionOf } from './consumption.ts';
import { currentRequest } from './current-request.ts';
import { demandOf, withGrantedOutput } from './demand.ts';
import { describeRequest } from './describe-request.ts';
import { dialectOf } from './dialect.ts';
import { createHeldCall, type HeldCall } from './held-call.ts';
import type { LlmRequest } from './llm-request.ts';
import { accessRefusal } from './model-access.ts';
import type { Refusal } from './refusal.ts';
import { refusalAnswer } from './refusal-answer.ts';
import type { JsonBody } from './request-body.ts';
import { readRequestPath } from './request-path.ts';
import type { DescribedRoute } from './route.ts';
import { createRouteTable } from './route-table.ts';
import { unlistedRoute } from './unlisted-route.ts';
import { readUpstreamRequest, type UpstreamRequest } from './upstream-request.ts';
import { watchedResponse } from './upstream-response.ts';

const table = createRouteTable();
/** A model may think for long before its first byte. */
const maxIdleLeases = 2;

/**
 * A `fetch` for SDK clients that live as long as the app: it meters each call in the request in whose handling it is
 * made, as `req.llm.fetch` does.
 *
 * @example
 * ```ts
 * const openai = new OpenAI({ fetch: meteredFetch });
 * ```
 * @throws TypeError outside of a request that the middlewares have held
 */
export const meteredFetch: typeof fetch = async function meteredFetch(input, init) {
  const llm = currentRequest();
  if (llm === undefined) {
    throw new TypeError('meteredFetch: no request is being handled here; mount rateLimit and recordUsage before');
  }
  return fetchMetered(llm, input, init);
};

/**
 * Holds a call against every limit over the key of a request, sends it, and charges what its answer tells. The first
 * call takes the place of what was held when the request came in; each further one is held beside it. A refusal is an
 * answer in the provider's own shape.
 */
export async function fetchMetered(
  llm: LlmRequest,
  input: string | URL | Request,
  init: RequestInit | undefined,
): Promise<Response> {
  if (llm.state !== 'authenticated') return fetch(input, init);
  const request = await readUpstreamRequest(input, init);
  const route = routeOf(request);
  if ('refusal' in route) return refusedResponse(llm, request, route.refusal);
  const held = await hold(llm, request, route);
  if ('refusal' in held) return refusedResponse(llm, request, held.refusal, route);
  const asked = llm.upstream.injectUsage ? usageAsked(held.body ?? asJson(request.body), route) : undefined;
  return send(llm, request, route, held.call, asked ?? held.body, asked !== undefined);
}

function routeOf({ method, url, headers, body }: UpstreamRequest): DescribedRoute | { readonly refusal: Refusal } {
  const description = describeRequest(table, { method, url: url.pathname, headers, body });
  switch (description.kind) {
    case 'described':
    case 'refused':
      return description;
    case 'unlisted':
    case 'unparsed':
      return unlistedRoute(readRequestPath(url.pathname)?.path ?? '/');
  }
}

async function hold(
  llm: LlmRequest,
  { body }: UpstreamRequest,
  route: DescribedRoute,
): Promise<{ readonly call: HeldCall; readonly body: JsonBody | undefined } | { readonly refusal: Refusal }> {
  const { service, credential, call: door, upstream, requestId } = llm;
  if (credential === undefined || door === undefined) {
    throw new TypeError('req.llm.fetch: mount rateLimit and recordUsage before the handler');
  }
  const refused = upstream.enforceModels ? accessRefusal(credential.principal, route) : undefined;
  if (refused !== undefined) return { refusal: refused };
  const { principal } = credential;
  const demand = demandOf({
    service,
    principal,
    route,
    body,
    trace: requestId,
    given: {},
    minOutputTokens: undefined,
  });
  if ('refusal' in demand) return demand;
  const admission = await extendRequest(llm, door.hold, credential, demand);
  if ('refusal' in admission) return admission;
  llm.isDelegated = true;
  const granted = withGrantedOutput(route, demand, null, asJson(body));
  return { call: createHeldCall(service, admission.granted.hold, granted.estimate, maxIdleLeases), body: granted.body };
}

async function send(
  llm: LlmRequest,
  request: UpstreamRequest,
  route: DescribedRoute,
  call: HeldCall,
  body: object | undefined,
  injectedUsage: boolean,
): Promise<Response> {
  const { drainMs } = llm.upstream;
  let response: Response;
  try {
    response = await request.send(body, signalOf(llm, request.signal));
  } catch (error) {
    if (wasNeverSent(error)) call.cancel();
    else call.settleByEstimate('broken_off', 'partial');
    throw error;
  }
  if (!response.ok) {
    call.cancel();
    return response;
  }
  // `fetch` has decoded the body already.
  const contentType = response.headers.get('content-type') ?? undefined;
  const meter = createMeter({ format: route.route.format, contentType, injectedUsage });
  const onEnd = () => {
    meter.result().then(
      (result) => charge(llm, route, call, result),
      () => call.settleByEstimate('unmetered'),
    );
  };
  return watchedResponse(response, { meter, drainMs, onEnd, onProgress: call.onProgress });
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

/** Until the client leaves; where its answers are drained, until its own signal alone. */
function signalOf({ leaving, upstream }: LlmRequest, own: AbortSignal | null): AbortSignal | null {
  if (upstream.drainMs > 0) return own;
  return own === null ? leaving.signal : AbortSignal.any([own, leaving.signal]);
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

function refusedResponse(
  { requestId }: LlmRequest,
  request: UpstreamRequest,
  refusal: Refusal,
  route?: DescribedRoute,
): Response {
  const answer = refusalAnswer(refusal, { dialect: dialectOf(route?.route, request.headers), requestId });
  const headers = {
    ...answer.headers,
    'content-type': 'application/json',
    'x-request-id': requestId,
    'request-id': requestId,
    // The client's own retry decides; one inside the handler would only ask the same again.
    'x-should-retry': 'false',
  };
  return new Response(JSON.stringify(answer.body), { status: answer.status, headers });
}

function asJson(body: unknown): JsonBody | undefined {
  return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as JsonBody) : undefined;
}
