import express, { type Request, type RequestHandler, type Response } from 'express';
import { internalsOf } from '../keys/internals.ts';
import { refuseUnknownOptions } from '../options.ts';
import { llmErrorHandler } from './error-handler.ts';
import { findLlmRequest } from './llm-request.ts';
import { checkMiddlewareOptions } from './mounting.ts';
import { type RateLimitOptions, rateLimit, rateLimitOptions } from './rate-limit.ts';
import { type RecordUsageOptions, recordUsage, recordUsageOptions } from './record-usage.ts';
import { apiKeyOptions, type RequireApiKeyOptions, requireApiKey } from './require-api-key.ts';
import { modelAccessOptions, type RequireModelAccessOptions, requireModelAccess } from './require-model-access.ts';

export interface LlmGuardOptions
  extends RequireApiKeyOptions,
    RequireModelAccessOptions,
    Omit<RateLimitOptions, 'skip'>,
    RecordUsageOptions {
  /** How large a JSON body may be, where nobody has parsed it before. @defaultValue { limit: '20mb' } */
  json?: { readonly limit?: string | number | undefined } | undefined;
}

const rateLimitOptionsHere = rateLimitOptions.filter((name) => name !== 'skip');

/**
 * All four middlewares in their order, with the parsing of a JSON body between them: after the key is known to be good,
 * and only where nobody has parsed it.
 *
 * @example
 * ```ts
 * app.use('/v1', llmGuard({ keys }), yourHandler);
 * ```
 * @throws TypeError for unknown options
 */
export function llmGuard(options: LlmGuardOptions): RequestHandler {
  checkMiddlewareOptions('llmGuard', options, [
    ...apiKeyOptions,
    ...modelAccessOptions,
    ...rateLimitOptionsHere,
    ...recordUsageOptions,
    'json',
  ]);
  internalsOf('llmGuard', options.keys);
  const { json, failWithError } = options;
  if (json !== undefined) refuseUnknownOptions('llmGuard: json', json, ['limit']);
  const parse = express.json({ limit: json?.limit ?? '20mb', type: ['application/json', 'application/*+json'] });
  const steps: readonly RequestHandler[] = [
    requireApiKey(pick(options, apiKeyOptions)),
    function parseJson(req, res, next) {
      if (findLlmRequest(req)?.state === 'authenticated' && !isParsed(req)) parse(req, res, next);
      else next();
    },
    requireModelAccess(pick(options, modelAccessOptions)),
    rateLimit(pick(options, rateLimitOptionsHere)),
    recordUsage(pick(options, recordUsageOptions)),
  ];
  const answerError = llmErrorHandler();

  return function llmGuard(req: Request, res: Response, next) {
    function step(index: number): void {
      const handler = steps[index];
      if (handler === undefined) {
        next();
        return;
      }
      handler(req, res, (error?: unknown) => {
        if (error === undefined) step(index + 1);
        else if (failWithError === true) next(error);
        else answerError(error, req, res, next);
      });
    }
    step(0);
  };
}

/** Parsers for other types leave an empty object behind on Express 4, and the stream unread. */
function isParsed(req: Request): boolean {
  const { body } = req;
  const isEmpty = typeof body === 'object' && body !== null && Object.keys(body).length === 0;
  return body !== undefined && (req.readableDidRead || !isEmpty);
}

/** The options of one middleware out of all. */
function pick<O extends object>(options: LlmGuardOptions, names: readonly string[]): O {
  // Each name was checked to be an option of the middleware that O is for.
  return Object.fromEntries(Object.entries(options).filter(([name]) => names.includes(name))) as O;
}
