import type { CallDemand } from '../keys/admissions.ts';
import { hasBudget } from '../keys/direct-admissions.ts';
import type { Internals } from '../keys/internals.ts';
import type { Principal } from '../keys/principals.ts';
import { estimateTokens } from '../limits/estimate.ts';
import { nanoUsd } from '../usage/money.ts';
import type { ModelPrice } from '../usage/pricing.ts';
import { noTokens, type TokenUsage } from '../usage/usage.ts';
import { capFieldsOf, withOutputCap } from './output-cap.ts';
import type { Refusal } from './refusal.ts';
import type { JsonBody } from './request-body.ts';
import type { DescribedRoute } from './route.ts';

/** What a caller's own estimate may tell; what it leaves out is estimated from the body. */
export interface EstimateInput {
  /** Input and output together: they cost what the dearer of the two does. */
  readonly tokens?: number | undefined;
  readonly inputTokens?: number | undefined;
  readonly outputTokens?: number | undefined;
  /** Instead of the price book's. */
  readonly costUsd?: number | undefined;
}

export interface DemandedCall {
  readonly service: Internals;
  readonly principal: Principal;
  readonly route: DescribedRoute;
  /** Any value: what is no object tells nothing. */
  readonly body: unknown;
  readonly trace: string;
  readonly given: EstimateInput;
  /** Lowers the output to what is left, to this at least; `undefined`: never. */
  readonly minOutputTokens: number | undefined;
}

/** What a call is to be held for. */
export interface HttpDemand extends CallDemand {
  readonly estimate: TokenUsage;
  /** How many answers share the output. */
  readonly outputs: number;
  /** A cap for each answer that has to be written into the body, since the estimate counts on it. */
  readonly outputCap: number | null;
}

/** What a model is assumed to give at most, where neither the body nor the price book knows. */
const longestOutputTokens = 16_384;

/** The tokens of a call, and their cost at the dearest of its models. */
export function demandOf(call: DemandedCall): HttpDemand | { readonly refusal: Refusal } {
  const { service, route, minOutputTokens } = call;
  const given = split(call.given);
  const base = { model: route.model, endpoint: route.route.endpoint, trace: call.trace };
  if (route.model === null) {
    const nothing = { tokens: 0, costNanoUsd: 0 };
    return { ...base, amounts: nothing, estimate: noTokens, outputs: 1, outputCap: null };
  }
  const prices = pricesOf(call);
  if ('refusal' in prices) return prices;
  const { stateTokens, minimumTokens } = service.options;
  const counted = estimateTokens(call.body, {
    output: route.route.output,
    capFields: capFieldsOf(route.route),
    stateTokens,
    minimumTokens,
  });
  const known = given.outputTokens ?? counted.outputTokens;
  const outputCap = known === null ? writableCap(call) : null;
  const outputTokens = known ?? (outputCap ?? longestOutput(prices.known)) * counted.outputs;
  const estimate = { ...noTokens, inputTokens: given.inputTokens ?? counted.inputTokens, outputTokens };
  const amounts = {
    tokens: Math.max(estimate.inputTokens + outputTokens, minimumTokens),
    costNanoUsd: given.costUsd === undefined ? cost(prices.known, estimate, call.given) : nanoUsd(given.costUsd),
  };
  // What a caller tells of the cost says nothing of one token.
  const isClamped =
    minOutputTokens !== undefined && given.costUsd === undefined && outputTokens > minOutputTokens * counted.outputs;
  const clamp = isClamped ? clampOf(prices.known, estimate, minOutputTokens * counted.outputs) : undefined;
  return { ...base, amounts, clamp, estimate, outputs: counted.outputs, outputCap };
}

/** What the call is estimated to consume when so much output was granted, and the body that keeps to it. */
export function withGrantedOutput(
  { route }: DescribedRoute,
  { estimate, outputs, outputCap }: HttpDemand,
  granted: number | null,
  body: JsonBody | undefined,
): { readonly estimate: TokenUsage; readonly body: JsonBody | undefined } {
  const isLowered = granted !== null && granted < estimate.outputTokens;
  const cap = isLowered ? Math.max(1, Math.floor(granted / outputs)) : outputCap;
  return {
    estimate: isLowered ? { ...estimate, outputTokens: granted } : estimate,
    body: cap === null || body === undefined ? undefined : withOutputCap(route, body, cap),
  };
}

function pricesOf({
  service,
  route,
  principal,
}: DemandedCall): { readonly known: readonly ModelPrice[] } | { readonly refusal: Refusal } {
  const known: ModelPrice[] = [];
  for (const name of route.models) {
    const price = service.pricing.find(name);
    if (price !== undefined) known.push(price);
    else if (!service.pricing.mayBeUnpriced(hasBudget(principal, route.model, service.now()))) {
      return { refusal: { kind: 'unpriced', model: name } };
    }
  }
  return { known };
}

/** Tokens of which nobody says what they are count as input, and cost what the dearer of the two does. */
function split(given: EstimateInput): EstimateInput {
  return given.tokens === undefined ? given : { ...given, inputTokens: given.tokens, outputTokens: 0 };
}

function cost(prices: readonly ModelPrice[], estimate: TokenUsage, { tokens }: EstimateInput): number {
  const asEstimated = dearest(prices, estimate);
  return tokens === undefined
    ? asEstimated
    : Math.max(asEstimated, dearest(prices, { ...noTokens, outputTokens: tokens }));
}

function dearest(prices: readonly ModelPrice[], usage: TokenUsage): number {
  return largestOf(prices, (price) => price.costNanoUsd(usage));
}

function largestOf(prices: readonly ModelPrice[], amountOf: (price: ModelPrice) => number): number {
  let largest = 0;
  for (const price of prices) largest = Math.max(largest, amountOf(price));
  return largest;
}

/** The configured cap, where the body can carry it. */
function writableCap({ service, route, body }: DemandedCall): number | null {
  const { defaultOutputCap } = service.options;
  if (defaultOutputCap === undefined || typeof body !== 'object' || body === null) return null;
  return withOutputCap(route.route, {}, defaultOutputCap) === undefined ? null : defaultOutputCap;
}

function longestOutput(prices: readonly ModelPrice[]): number {
  const longest = largestOf(prices, ({ maxOutputTokens }) => maxOutputTokens ?? longestOutputTokens);
  return longest === 0 ? longestOutputTokens : Math.min(longest, longestOutputTokens);
}

function clampOf(prices: readonly ModelPrice[], estimate: TokenUsage, minOutputTokens: number) {
  return {
    inputTokens: estimate.inputTokens,
    inputCostNanoUsd: dearest(prices, { ...estimate, outputTokens: 0 }),
    outputPicoUsdPerToken: largestOf(prices, (price) => price.outputPicoUsdPerToken),
    minOutputTokens,
    maxOutputTokens: estimate.outputTokens,
  };
}
