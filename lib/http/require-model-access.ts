import type { Request, RequestHandler } from 'express';
import { isModelName } from '../keys/model-access.ts';
import { asyncHandler } from './async-handler.ts';
import { describeRequest, type RequestDescription } from './describe-request.ts';
import { dialectOf } from './dialect.ts';
import { findLlmRequest, type LlmRequest } from './llm-request.ts';
import { accessRefusal } from './model-access.ts';
import { checkMiddlewareOptions, warnOnce, wrongOrder } from './mounting.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import { jsonBody, replaceBody } from './request-body.ts';
import { readRequestPath } from './request-path.ts';
import type { DescribedRoute, RouteEntry } from './route.ts';
import { createRouteTable } from './route-table.ts';
import { unlistedRoute } from './unlisted-route.ts';

export interface RequireModelAccessOptions {
  /**
   * The model, where the request does not name it or must not choose it: `'gpt-4o'`, or a function of the request. Needed
   * for multipart bodies that are parsed later.
   */
  model?: string | ((req: Request) => string | undefined | Promise<string | undefined>) | undefined;
  /** The endpoint that the route is, whatever its path, such as `/v1/chat/completions`. */
  endpoint?: string | undefined;
  /** What to do with endpoints that are not in the table. Allowed ones count as requests only. @defaultValue 'deny' */
  unknownEndpoints?: 'deny' | 'allow' | undefined;
  /** Rows for endpoints of your own; they come before those of the package. */
  routes?: readonly RouteEntry[] | undefined;
  /** Hands refusals to `next` as errors. @defaultValue false */
  failWithError?: boolean | undefined;
}

export const modelAccessOptions = ['model', 'endpoint', 'unknownEndpoints', 'routes', 'failWithError'];

/**
 * Lets requests through to the models and endpoints that the key, its owner and its team may use. Needs the parsed body.
 *
 * @throws TypeError for unknown options
 */
export function requireModelAccess(options: RequireModelAccessOptions = {}): RequestHandler {
  checkMiddlewareOptions('requireModelAccess', options, modelAccessOptions);
  const { model, endpoint, unknownEndpoints = 'deny', failWithError } = options;
  if (unknownEndpoints !== 'deny' && unknownEndpoints !== 'allow') {
    throw new TypeError("requireModelAccess: unknownEndpoints must be 'deny' or 'allow'");
  }
  if (model !== undefined && typeof model !== 'function' && !isModelName(model)) {
    throw new TypeError('requireModelAccess: model must be the name of a model, or a function of the request');
  }
  const table = createRouteTable(options.routes);
  const endpointPath = endpoint === undefined ? undefined : readRequestPath(endpoint);
  if (endpoint !== undefined && (endpointPath === undefined || table.findByPath(endpointPath) === undefined)) {
    throw new TypeError(
      `requireModelAccess: endpoint must be in the route table, such as '/v1/chat/completions', not ${JSON.stringify(endpoint)}`,
    );
  }

  let hasWarned = false;

  /** Tells the developer, once, what the client is not told: that the route could be made known. */
  function warnOfUnlisted({ service: { options } }: LlmRequest, method: string, path: string): void {
    if (hasWarned) return;
    hasWarned = true;
    const shown = loggablePath(path, options.secretPrefix);
    options.logger.warn(
      `requireModelAccess: ${method} ${shown} is in no route table; say endpoint: '/v1/chat/completions', add routes, or unknownEndpoints: 'allow'`,
    );
  }

  function describe(req: Request, givenModel: string | undefined): RequestDescription {
    return describeRequest(table, {
      method: endpoint === undefined ? req.method : 'POST',
      url: endpoint ?? req.originalUrl,
      headers: req.headers,
      body: req.body,
      givenModel,
    });
  }

  function judge(
    llm: LlmRequest,
    description: RequestDescription,
    method: string,
  ): DescribedRoute | { readonly refusal: Refusal } {
    switch (description.kind) {
      case 'refused':
        return description;
      case 'unparsed':
        throw new TypeError('requireModelAccess: mount express.json() between requireApiKey and it');
      case 'unlisted':
        if (unknownEndpoints === 'deny') {
          warnOfUnlisted(llm, method, description.path);
          return { refusal: { kind: 'endpoint', scope: null } };
        }
        return judged(llm, unlistedRoute(description.path));
      case 'described':
        return judged(llm, description);
    }
  }

  return asyncHandler(function requireModelAccess(req, res, next) {
    const llm = findLlmRequest(req);
    if (llm === undefined) throw wrongOrder('requireModelAccess', 'requireApiKey');
    if (llm.state !== 'authenticated') return next();
    if (llm.acted.includes('requireModelAccess')) {
      warnOnce(llm.service.options.logger, 'requireModelAccess is mounted twice on one route; it acts once');
      return next();
    }
    llm.acted.push('requireModelAccess');
    const goOn = (givenModel: string | undefined) => {
      const outcome = judge(llm, describe(req, givenModel), req.method);
      if ('refusal' in outcome) {
        const path = endpointPath ?? readRequestPath(req.originalUrl);
        const dialect = dialectOf(path && table.findByPath(path)?.route, req.headers);
        return refuse(req, res, next, outcome.refusal, { requestId: llm.requestId, dialect, failWithError });
      }
      nameModel(req, outcome);
      llm.route = outcome;
      next();
    };
    return typeof model === 'function' ? Promise.resolve(model(req)).then(goOn) : goOn(model);
  });
}

const maxPathLength = 200;
const maxSegmentLength = 40;

/** A path without what may be a key: paths of some proxies hold one. */
function loggablePath(path: string, secretPrefix: string): string {
  const prefix = secretPrefix.toLowerCase();
  const segments = path.split('/').map((segment) => {
    return segment.length > maxSegmentLength || segment.toLowerCase().includes(prefix) ? '…' : segment;
  });
  return segments
    .join('/')
    .replace(/[^\x21-\x7e…]/g, '?')
    .slice(0, maxPathLength);
}

/** Writes the model that was judged into the body, where the body names none or another one. */
function nameModel(req: Request, { route, model, modelFrom }: DescribedRoute): void {
  const body = jsonBody(req);
  if (model === null || body === undefined || body[route.modelField] === model) return;
  const isOverruled = modelFrom === 'option' && body[route.modelField] !== undefined;
  if (modelFrom === 'header' || isOverruled) replaceBody(req, { ...body, [route.modelField]: model });
}

function judged(llm: LlmRequest, route: DescribedRoute): DescribedRoute | { readonly refusal: Refusal } {
  const refusal = llm.credential && accessRefusal(llm.credential.principal, route);
  return refusal === undefined ? route : { refusal };
}
