import type { ErrorRequestHandler } from 'express';
import { isLlmKeysError, StoreUnavailableError } from '../errors.ts';
import { isDecodingError } from './decoding-errors.ts';
import { findLlmRequest } from './llm-request.ts';
import type { Refusal } from './refusal.ts';
import { RefusedError, type RefuseOptions, sendRefusal } from './refuse.ts';
import { answerError } from './router/answers.ts';

/**
 * Answers the refusals that `failWithError` hands on, the service's own errors, and on requests that `requireApiKey` has
 * seen also what a body parser could not read: all in the client's dialect. Any other error goes on untouched.
 */
export function llmErrorHandler(): ErrorRequestHandler {
  return function llmErrorHandler(error, req, res, next) {
    const llm = findLlmRequest(req);
    const refusal = refusalOf(error) ?? (llm === undefined ? undefined : parserRefusal(error));
    if (refusal === undefined || res.headersSent) {
      answerError(error, req, res, next);
      return;
    }
    const options: RefuseOptions = error instanceof RefusedError ? error : { requestId: llm?.requestId ?? '' };
    sendRefusal(req, res, refusal, options);
  };
}

function refusalOf(error: unknown): Refusal | undefined {
  if (!isLlmKeysError(error)) return undefined;
  // By its brand, since the error may come from the other copy of the package.
  if ('refusal' in error) return (error as RefusedError).refusal;
  return error instanceof StoreUnavailableError || error.code === 'store_unavailable'
    ? { kind: 'store_down' }
    : undefined;
}

const unreadable: Refusal = { kind: 'invalid_body', problem: 'The body could not be read.', param: null };

/** What body-parser throws, by the `type` that it documents. */
function parserRefusal(error: unknown): Refusal | undefined {
  if (isDecodingError(error)) return unreadable;
  if (typeof error !== 'object' || error === null) return undefined;
  const { type }: { type?: unknown } = error;
  switch (type) {
    case 'entity.parse.failed':
      return { kind: 'invalid_body', problem: 'The body is not valid JSON.', param: null };
    case 'entity.too.large':
      return { kind: 'body_too_large' };
    case 'encoding.unsupported':
    case 'charset.unsupported':
      return { kind: 'media_type', expected: 'application/json' };
    case 'entity.verify.failed':
    case 'request.aborted':
    case 'request.size.invalid':
      return unreadable;
    default:
      return undefined;
  }
}
