import type { Request, RequestHandler } from 'express';
import type { UsageInput } from '../keys/usage-input.ts';
import { askForUsage } from './asked-usage.ts';
import { findLlmRequest } from './llm-request.ts';
import { meterResponse } from './metered-response.ts';
import { checkMiddlewareOptions, warnOnce, wrongOrder } from './mounting.ts';

export interface RecordUsageOptions {
  /**
   * Reads the usage from a JSON answer of a shape of your own. Without an answer, or where it throws, the answer is read
   * as the route's format.
   */
  readUsage?: ((body: unknown, req: Request) => UsageInput | undefined) | undefined;
  /**
   * Asks OpenAI-shaped upstreams for the usage of streams where the client does not, and keeps the chunk that carries it
   * from the client. Turn it off for upstreams that refuse `stream_options`. @defaultValue true
   */
  injectUsage?: boolean | undefined;
  /** Refuses models that the key may not use also on calls through `req.llm.fetch`. @defaultValue false */
  enforceModels?: boolean | undefined;
  /**
   * How long an answer of `req.llm.fetch` is read on for its usage when the client has left. Without it the call upstream
   * is aborted, and what was seen is charged. @defaultValue 0
   */
  drainMs?: number | undefined;
}

export const recordUsageOptions = ['readUsage', 'injectUsage', 'enforceModels', 'drainMs'];

/**
 * Reads what a call consumed from what the handler sends, JSON or stream, and charges it exactly once: when the answer is
 * complete, or when the client leaves. The bytes go on as they are, but for the usage chunk that the client had not asked
 * for. An answer that is no success gives everything back.
 *
 * @throws TypeError for unknown options
 */
export function recordUsage(options: RecordUsageOptions = {}): RequestHandler {
  checkMiddlewareOptions('recordUsage', options, recordUsageOptions);
  const { readUsage, injectUsage = true, enforceModels = false, drainMs = 0 } = options;
  if (readUsage !== undefined && typeof readUsage !== 'function') {
    throw new TypeError('recordUsage: readUsage must be a function of the answer');
  }
  if (!Number.isSafeInteger(drainMs) || drainMs < 0) {
    throw new TypeError('recordUsage: drainMs must be a whole number of milliseconds');
  }

  return function recordUsage(req, res, next) {
    const llm = findLlmRequest(req);
    if (llm === undefined) return next(wrongOrder('recordUsage', 'requireApiKey'));
    if (llm.state !== 'authenticated') return next();
    if (llm.route === undefined) return next(wrongOrder('recordUsage', 'requireModelAccess'));
    // What rateLimit has skipped is held against nothing, so there is nothing to charge.
    if (llm.call === undefined)
      return next(llm.acted.includes('rateLimit') ? undefined : wrongOrder('recordUsage', 'rateLimit'));
    if (llm.acted.includes('recordUsage')) {
      warnOnce(llm.service.options.logger, 'recordUsage is mounted twice on one route; it acts once');
      return next();
    }
    llm.acted.push('recordUsage');
    llm.call.isMetered = true;
    const { call, route } = llm;
    llm.upstream = { enforceModels, injectUsage, drainMs };
    const injectedUsage = injectUsage && askForUsage(req, route);
    const read = readUsage && ((body: unknown) => readUsage(body, req));
    meterResponse(res, { llm, call, route, injectedUsage, readUsage: read });
    next();
  };
}
