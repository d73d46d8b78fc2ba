import { extendRequest } from './admit-request.ts';
import { usageAsked } from './asked-usage.ts';
import { currentRequest } from './current-request.ts';
import { demandOf, withGrantedOutput } from './demand.ts';
import { describeRequest } from './describe-request.ts';
import { createHeldCall } from './held-call.ts';
import type { LlmRequest } from './llm-request.ts';
import { accessRefusal } from './model-access.ts';
import { warnOnce } from './mounting.ts';
import type { Refusal } from './refusal.ts';
import { refusedResponse } from './refused-response.ts';
import type { DescribedRoute } from './route.ts';
import { createRouteTable } from './route-table.ts';
import { unlistedRoute } from './unlisted-route.ts';
import { type HeldUpstreamCall, sendHeld } from './upstream-call.ts';
import { readUpstreamRequest, type UpstreamRequest } from './upstream-request.ts';

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
 * @throws TypeError outside of a request that has passed `rateLimit`
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
 * answer in the provider's own shape. Where the request itself was let through unheld, so are its calls.
 */
export async function fetchMetered(
  llm: LlmRequest,
  input: string | URL | Request,
  init: RequestInit | undefined,
): Promise<Response> {
  const isExempt = llm.state !== 'authenticated' || (llm.call === undefined && llm.acted.includes('rateLimit'));
  if (isExempt) return fetch(input, init);
  const request = await readUpstreamRequest(input, init);
  const route = routeOf(llm, request);
  if ('refusal' in route) return refusedResponse(llm, request, route.refusal);
  // A call that is given up already counts for nothing.
  request.signal?.throwIfAborted();
  if (llm.upstream.drainMs === 0) llm.leaving.signal.throwIfAborted();
  const held = await hold(llm, request, route);
  if ('refusal' in held) return refusedResponse(llm, request, held.refusal, route);
  return sendHeld(llm, request, held);
}

function routeOf(
  llm: LlmRequest,
  { method, url, headers, body }: UpstreamRequest,
): DescribedRoute | { readonly refusal: Refusal } {
  const description = describeRequest(table, { method, url: url.pathname, headers, body });
  switch (description.kind) {
    case 'described':
    case 'refused':
      return description;
    case 'unparsed':
      return { refusal: { kind: 'invalid_body', problem: 'The body is not valid JSON.', param: null } };
    case 'unlisted': {
      const { path } = description;
      warnOnce(llm.service.options.logger, `req.llm.fetch: ${path} is not known; calls of it count as requests only`);
      return unlistedRoute(path);
    }
  }
}

async function hold(
  llm: LlmRequest,
  { body, json }: UpstreamRequest,
  route: DescribedRoute,
): Promise<HeldUpstreamCall | { readonly refusal: Refusal }> {
  const { service, credential, call: door, upstream, requestId } = llm;
  if (credential === undefined || door === undefined) {
    throw new TypeError('req.llm.fetch: mount rateLimit and recordUsage before the handler');
  }
  // From now on what the handler answers tells nothing of what was consumed, also where this call is refused.
  if (route.model !== null) llm.isDelegated = true;
  const { principal } = credential;
  const refused = upstream.enforceModels ? accessRefusal(principal, route) : undefined;
  if (refused !== undefined) return { refusal: refused };
  const trace = requestId;
  const demand = demandOf({ service, principal, route, body, trace, given: {}, minOutputTokens: undefined });
  if ('refusal' in demand) return demand;
  const enforced = upstream.enforceModels ? route : llm.route;
  const admission = await extendRequest(llm, door.hold, enforced, credential, demand);
  if ('refusal' in admission) return admission;
  const granted = withGrantedOutput(route, demand, null, json);
  const call = createHeldCall(service, admission.granted.hold, granted.estimate, maxIdleLeases);
  const asked = upstream.injectUsage ? usageAsked(granted.body ?? json, route) : undefined;
  return { route, call, body: asked ?? granted.body, injectedUsage: asked !== undefined };
}
