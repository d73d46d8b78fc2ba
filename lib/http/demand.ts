import type { Request } from 'express';
import type { CallDemand } from '../keys/admissions.ts';
import { hasBudget } from '../keys/direct-admissions.ts';
import type { Principal } from '../keys/principals.ts';
import { estimateTokens, type TokenEstimate } from '../limits/estimate.ts';
import type { ModelPrice } from '../usage/pricing.ts';
import { noTokens, type TokenUsage } from '../usage/usage.ts';
import type { LlmRequest } from './llm-request.ts';
import { withOutputCap } from './output-cap.ts';
import type { Refusal } from './refusal.ts';
import { jsonBody, replaceBody } from './request-body.ts';
import type { DescribedRoute } from './route.ts';

/** What a caller's own estimate may tell; what it leaves out is estimated from the body. */
export interface EstimateInput {
  readonly inputTokens?: number | undefined;
  readonly outputTokens?: number | undefined;
}

export interface DemandOptions {
  readonly estimate: ((req: Request) => EstimateInput | Promise<EstimateInput>) | undefined;
  /** Lowers the output to what is left, to this at least. */
  readonly minOutputTokens: number | undefined;
}

export interface HttpDemand extends CallDemand {
  readonly estimate: TokenUsage;
  /** How many answers share the output. */
  readonly outputs: number;
}

/** What a model is assumed to give at most, where neither the body nor the price book knows. */
const longestOutputTokens = 16_384;

/** What the request is to be held for: its tokens, and their cost at the dearest of its models. */
export async function demandOf(
  req: Request,
  llm: LlmRequest,
  route: DescribedRoute,
  principal: Principal,
  options: DemandOptions,
): Promise<HttpDemand | { readonly refusal: Refusal }> {
  const base = { model: route.model, endpoint: route.route.endpoint, trace: llm.requestId };
  if (route.model === null) {
    return { ...base, amounts: { tokens: 0, costNanoUsd: 0 }, estimate: noTokens, outputs: 1 };
  }
  const prices = pricesOf(llm, route, principal);
  if ('refusal' in prices) return prices;
  const counted = await estimated(req, llm, route, options);
  const outputTokens = counted.outputTokens ?? uncappedOutput(req, llm, route, prices.known, counted.outputs);
  const estimate = { ...noTokens, inputTokens: counted.inputTokens, outputTokens };
  const { minimumTokens } = llm.service.options;
  const amounts = {
    tokens: Math.max(estimate.inputTokens + outputTokens, minimumTokens),
    costNanoUsd: dearest(prices.known, estimate),
  };
  const { minOutputTokens } = options;
  const clamp =
    minOutputTokens === undefined || outputTokens <= minOutputTokens
      ? undefined
      : {
          inputTokens: estimate.inputTokens,
          inputCostNanoUsd: dearest(prices.known, { ...estimate, outputTokens: 0 }),
          outputPicoUsdPerToken: Math.max(0, ...prices.known.map((price) => price.outputPicoUsdPerToken)),
          minOutputTokens: minOutputTokens * counted.outputs,
          maxOutputTokens: outputTokens,
        };
  return { ...base, amounts, clamp, estimate, outputs: counted.outputs };
}

/** Lowers the caps in the body to the output that was granted. Answers the estimate that then holds. */
export function applyGrantedOutput(
  req: Request,
  { route }: DescribedRoute,
  demand: HttpDemand,
  granted: number | null,
): TokenUsage {
  const body = jsonBody(req);
  if (granted === null || granted >= demand.estimate.outputTokens || body === undefined) return demand.estimate;
  const cap = Math.max(1, Math.floor(granted / demand.outputs));
  const capped = withOutputCap(route, body, cap);
  if (capped !== undefined) replaceBody(req, capped);
  return { ...demand.estimate, outputTokens: granted };
}

function pricesOf(
  { service }: LlmRequest,
  { model, models }: DescribedRoute,
  principal: Principal,
): { readonly known: readonly ModelPrice[] } | { readonly refusal: Refusal } {
  const known: ModelPrice[] = [];
  for (const name of models) {
    const price = service.pricing.find(name);
    if (price !== undefined) known.push(price);
    else if (!service.pricing.mayBeUnpriced(hasBudget(principal, model, service.now()))) {
      return { refusal: { kind: 'unpriced', model: name } };
    }
  }
  return { known };
}

function dearest(prices: readonly ModelPrice[], usage: TokenUsage): number {
  return Math.max(0, ...prices.map((price) => price.costNanoUsd(usage)));
}

async function estimated(
  req: Request,
  { service }: LlmRequest,
  { route }: DescribedRoute,
  { estimate }: DemandOptions,
): Promise<TokenEstimate> {
  const { stateTokens, minimumTokens } = service.options;
  const counted = estimateTokens(req.body, { output: route.output, stateTokens, minimumTokens });
  if (estimate === undefined) return counted;
  const given = await estimate(req);
  for (const tokens of [given.inputTokens, given.outputTokens]) {
    if (tokens !== undefined && !(Number.isSafeInteger(tokens) && tokens >= 0)) {
      throw new TypeError(`rateLimit: estimate must answer whole numbers of tokens, not ${tokens}`);
    }
  }
  return {
    inputTokens: given.inputTokens ?? counted.inputTokens,
    outputTokens: given.outputTokens ?? counted.outputTokens,
    outputs: counted.outputs,
  };
}

/** The output of a body without a cap: the one that is written into it, or the longest that its models can give. */
function uncappedOutput(
  req: Request,
  { service }: LlmRequest,
  { route }: DescribedRoute,
  prices: readonly ModelPrice[],
  outputs: number,
): number {
  const { defaultOutputCap } = service.options;
  const body = jsonBody(req);
  if (defaultOutputCap !== undefined && body !== undefined) {
    const capped = withOutputCap(route, body, defaultOutputCap);
    if (capped !== undefined) {
      replaceBody(req, capped);
      return defaultOutputCap * outputs;
    }
  }
  const longest = Math.max(0, ...prices.map(({ maxOutputTokens }) => maxOutputTokens ?? longestOutputTokens));
  return Math.min(longest === 0 ? longestOutputTokens : longest, longestOutputTokens) * outputs;
}
