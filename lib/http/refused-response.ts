import { dialectOf } from './dialect.ts';
import type { LlmRequest } from './llm-request.ts';
import type { Refusal } from './refusal.ts';
import { refusalAnswer } from './refusal-answer.ts';
import type { DescribedRoute } from './route.ts';
import type { UpstreamRequest } from './upstream-request.ts';

/** A refusal as the provider that was to be called would tell it, so that its SDK raises an error of its own. */
export function refusedResponse(
  { requestId, budgetStatus }: LlmRequest,
  request: UpstreamRequest,
  refusal: Refusal,
  route?: DescribedRoute,
): Response {
  const dialect = dialectOf(route?.route, request.headers);
  const answer = refusalAnswer(refusal, { dialect, requestId, budgetStatus });
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
