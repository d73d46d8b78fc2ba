import type { Request, RequestHandler, Response } from 'express';
import type { Granted } from '../keys/admissions.ts';
import { refuseUnknownOptions } from '../options.ts';
import { whenAnswered } from '../stores/answered.ts';
import type { Answer } from '../stores/store.ts';
import { isAmountUsd } from '../usage/money.ts';
import { maxTokenCount, noTokens } from '../usage/usage.ts';
import { admitRequest } from './admit-request.ts';
import { asyncHandler } from './async-handler.ts';
import { runInRequest } from './current-request.ts';
import { demandOf, type EstimateInput, type HttpDemand, withGrantedOutput } from './demand.ts';
import { dialectOf } from './dialect.ts';
import { createHeldCall, type HeldCall } from './held-call.ts';
import { findLlmRequest, type LlmRequest } from './llm-request.ts';
import { answerModelList, asksForModels } from './model-list.ts';
import { checkMiddlewareOptions, warnOnce, wrongOrder } from './mounting.ts';
import { type HeaderFamily, headerFamilies } from './rate-limit-headers.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import { jsonBody, replaceBody } from './request-body.ts';
import { whenClosed } from './response-close.ts';
import { isSuccess } from './response-status.ts';
import type { DescribedRoute } from './route.ts';
import { standingsTeller } from './tell-standings.ts';

export interface RateLimitOptions {
  /**
   * What a request may consume, where you know it better than its body tells: tokens, or `{ inputTokens, outputTokens,
   * costUsd }`. What it leaves out is estimated.
   */
  estimate?: ((req: Request) => Estimate | Promise<Estimate>) | undefined;
  /** Lowers the output cap of a request to what its limits still afford, instead of refusing it. @defaultValue off */
  clamp?: true | { readonly minOutputTokens: number } | undefined;
  /** Families of headers that tell how the limits stand. @defaultValue that of the route's provider, and `legacy` */
  headers?: readonly HeaderFamily[] | undefined;
  /** The status of a refusal by a budget. 402 stops clients that try every 429 again. @defaultValue 429 */
  budgetStatus?: 429 | 402 | undefined;
  /**
   * What becomes of requests while the store is down: refused with 503, or decided here by what was left when the store
   * last answered, and charged when it is back. @defaultValue 'deny'
   */
  onStoreError?: 'deny' | 'admit' | undefined;
  /** How long an outage may last for `onStoreError: 'admit'`. @defaultValue 60,000 */
  maxOutageMs?: number | undefined;
  /** Requests that are held against nothing. Then nothing meters them either. */
  skip?: ((req: Request) => boolean) | undefined;
  /** Hands refusals to `next` as errors. @defaultValue false */
  failWithError?: boolean | undefined;
}

export const rateLimitOptions = [
  'estimate',
  'clamp',
  'headers',
  'budgetStatus',
  'onStoreError',
  'maxOutageMs',
  'skip',
  'failWithError',
];

type Estimate = number | EstimateInput | undefined;

const defaultMaxOutageMs = 60_000;
/** Settlements wait for the store no longer. */
const longestOutageMs = 600_000;

/**
 * Holds a request against every limit over its key (requests, tokens, concurrency, money; of the key, its owner, its
 * team and all) in one atomic act, before it goes upstream. A refusal takes nothing.
 *
 * @throws TypeError for unknown options
 */
export function rateLimit(options: RateLimitOptions = {}): RequestHandler {
  const settings = checkOptions(options);
  const tellStandings = standingsTeller(settings.headers);

  return asyncHandler(function rateLimit(req, res, next) {
    const llm = findLlmRequest(req);
    if (llm === undefined) throw wrongOrder('rateLimit', 'requireApiKey');
    const { route, credential } = llm;
    if (llm.state !== 'authenticated' || credential === undefined) return runInRequest(llm, next);
    if (route === undefined) throw wrongOrder('rateLimit', 'requireModelAccess');
    if (llm.acted.includes('rateLimit')) {
      warnOnce(llm.service.options.logger, 'rateLimit is mounted twice on one route; it acts once');
      return next();
    }
    llm.acted.push('rateLimit');
    if (settings.skip(req)) return runInRequest(llm, next);

    const { budgetStatus, failWithError, maxOutageMs } = settings;
    llm.budgetStatus = budgetStatus;
    llm.maxOutageMs = maxOutageMs;
    if (maxOutageMs !== undefined) llm.service.outages.tolerate(maxOutageMs);
    const refused = (refusal: Refusal) =>
      refuse(req, res, next, refusal, {
        requestId: llm.requestId,
        dialect: dialectOf(route.route, req.headers),
        budgetStatus,
        failWithError,
      });
    const enter = (demand: HttpDemand, { hold, outputTokens, principal }: Granted) => {
      const granted = withGrantedOutput(route, demand, outputTokens, jsonBody(req));
      if (granted.body !== undefined) replaceBody(req, granted.body);
      const call = createHeldCall(llm.service, hold, granted.estimate);
      llm.call = call;
      // The client left while the store was asked: nothing goes upstream.
      if (res.closed) return call.cancel();
      whenClosed(res, () => endUnmetered(llm, call, route, res));
      if (asksForModels(route)) return answerModelList(req, res, llm, principal);
      runInRequest(llm, next);
    };
    const admit = (given: EstimateInput) => {
      const demand = demandOf({
        service: llm.service,
        principal: credential.principal,
        route,
        body: req.body,
        trace: llm.requestId,
        given,
        minOutputTokens: settings.minOutputTokens,
      });
      if ('refusal' in demand) return refused(demand.refusal);
      return whenAnswered(admitRequest(llm, route, credential, demand), (admission) => {
        const standings = 'granted' in admission ? admission.granted.standings : admission.standings;
        if (standings !== undefined) tellStandings(req, res, route.route, standings, llm.service.now());
        if ('refusal' in admission) return refused(admission.refusal);
        enter(demand, admission.granted);
      });
    };
    return whenAnswered(settings.estimate(req), admit);
  });
}

/** Nobody watches the response: an answer that is no success gives all back, any other is charged by its estimate. */
function endUnmetered(llm: LlmRequest, call: HeldCall, route: DescribedRoute, res: Response): void {
  if (call.isMetered) return;
  if (llm.isDelegated) call.cancel();
  else if (res.headersSent && !isSuccess(res)) call.cancel();
  else if (route.model === null) call.settle({ usage: noTokens, model: null, costNanoUsd: 0, source: 'reported' });
  else call.settleByEstimate('unmetered');
}

interface Settings {
  readonly estimate: (req: Request) => Answer<EstimateInput>;
  readonly minOutputTokens: number | undefined;
  readonly headers: readonly HeaderFamily[] | undefined;
  readonly budgetStatus: 429 | 402 | undefined;
  /** `undefined`: nothing is admitted without the store. */
  readonly maxOutageMs: number | undefined;
  readonly skip: (req: Request) => boolean;
  readonly failWithError: boolean | undefined;
}

function checkOptions(options: RateLimitOptions): Settings {
  checkMiddlewareOptions('rateLimit', options, rateLimitOptions);
  const { estimate, clamp, headers, budgetStatus, skip = () => false, failWithError } = options;
  if (estimate !== undefined && typeof estimate !== 'function') {
    throw new TypeError('rateLimit: estimate must be a function of the request');
  }
  if (typeof skip !== 'function') throw new TypeError('rateLimit: skip must be a function of the request');
  if (budgetStatus !== undefined && budgetStatus !== 429 && budgetStatus !== 402) {
    throw new TypeError('rateLimit: budgetStatus must be 429 or 402');
  }
  if (headers !== undefined && !(Array.isArray(headers) && headers.every((name) => headerFamilies.includes(name)))) {
    throw new TypeError(`rateLimit: headers must be a list of ${headerFamilies.join(', ')}`);
  }
  return {
    estimate: checkedEstimate(estimate),
    minOutputTokens: leastOutput(clamp),
    headers,
    budgetStatus,
    maxOutageMs: toleratedOutage(options),
    skip,
    failWithError,
  };
}

const nothingGiven: EstimateInput = {};

function checkedEstimate(estimate: RateLimitOptions['estimate']): Settings['estimate'] {
  if (estimate === undefined) return () => nothingGiven;
  return async (req) => {
    const answer = await estimate(req);
    const given = typeof answer === 'number' ? { tokens: answer } : (answer ?? {});
    if (typeof given !== 'object') throw new TypeError('rateLimit: estimate must answer tokens, or an object of them');
    refuseUnknownOptions('rateLimit: estimate', given, ['tokens', 'inputTokens', 'outputTokens', 'costUsd']);
    for (const tokens of [given.tokens, given.inputTokens, given.outputTokens]) {
      if (tokens === undefined || (Number.isSafeInteger(tokens) && tokens >= 0 && tokens <= maxTokenCount)) continue;
      throw new TypeError(`rateLimit: estimate must answer whole numbers of tokens, not ${tokens}`);
    }
    if (given.costUsd !== undefined && !isAmountUsd(given.costUsd)) {
      throw new TypeError(`rateLimit: estimate must answer a cost in USD, not ${given.costUsd}`);
    }
    return given;
  };
}

function toleratedOutage({ onStoreError, maxOutageMs }: RateLimitOptions): number | undefined {
  if (onStoreError !== undefined && onStoreError !== 'deny' && onStoreError !== 'admit') {
    throw new TypeError("rateLimit: onStoreError must be 'deny' or 'admit'");
  }
  if (
    maxOutageMs !== undefined &&
    !(Number.isSafeInteger(maxOutageMs) && maxOutageMs > 0 && maxOutageMs <= longestOutageMs)
  ) {
    throw new TypeError(`rateLimit: maxOutageMs must be a whole number from 1 to ${longestOutageMs}`);
  }
  return onStoreError === 'admit' ? (maxOutageMs ?? defaultMaxOutageMs) : undefined;
}

function leastOutput(clamp: RateLimitOptions['clamp']): number | undefined {
  if (clamp === undefined) return undefined;
  if (clamp === true) return 1;
  if (typeof clamp === 'object' && clamp !== null) refuseUnknownOptions('rateLimit: clamp', clamp, ['minOutputTokens']);
  const least = clamp?.minOutputTokens;
  if (Number.isSafeInteger(least) && least > 0) return least;
  throw new TypeError('rateLimit: clamp must be true, or { minOutputTokens } with a whole number above 0');
}
