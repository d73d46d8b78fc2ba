import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { isLlmKeysError, type LlmKeysError, TooManyFailedAttemptsError } from '../../errors.ts';
import { entityTag } from './version.ts';

/** Answers with a record and its entity tag. */
export function sendVersioned(res: Response, record: { readonly version: number }): void {
  res.set('ETag', entityTag(record.version)).json(record);
}

/** Answers the package's own errors; every other error is the app's. */
export function answerError(error: unknown, _req: Request, res: Response, next: NextFunction): void {
  if (res.headersSent || !isLlmKeysError(error)) {
    next(error);
    return;
  }
  if (error.status === 503) res.set('Retry-After', '1');
  if (error instanceof TooManyFailedAttemptsError) res.set('Retry-After', String(Math.ceil(error.retryAfterMs / 1000)));
  res.status(error.status).json({ error: errorBody(error) });
}

function errorBody({ status, code, message, param, details }: LlmKeysError) {
  return { message, type: errorType(status), code, param, ...(details.length > 0 && { details }) };
}

function errorType(status: number): string {
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}

/** Refuses the methods that a path does not have. */
export function onlyMethods(...methods: readonly string[]): RequestHandler {
  const allow = [...(methods.includes('GET') ? ['HEAD'] : []), ...methods].join(', ');
  return function refuseOtherMethods(req, res) {
    res.set('Allow', allow);
    if (req.method === 'OPTIONS') {
      res.status(204).end();
      return;
    }
    const message = `This path takes ${allow}`;
    res
      .status(405)
      .json({ error: { message, type: 'invalid_request_error', code: 'method_not_allowed', param: null } });
  };
}
