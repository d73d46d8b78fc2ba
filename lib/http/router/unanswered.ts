import type { ErrorRequestHandler } from 'express';
import { isLlmKeysError } from '../../errors.ts';
import { failureReason } from '../../stores/failure-reason.ts';
import type { Logger } from '../../stores/store.ts';

const againAfterMs = 60_000;

/** Says in the log, at most once a minute, why the store gave no answer: callers are told only that it did not. */
export function logUnanswered(logger: Logger): ErrorRequestHandler {
  let loggedAtMs = -Infinity;
  return function logUnanswered(error, _req, _res, next) {
    const nowMs = performance.now();
    if (isLlmKeysError(error) && error.code === 'store_unavailable' && nowMs - loggedAtMs >= againAfterMs) {
      loggedAtMs = nowMs;
      logger.error(`A call of the admin API found no answer in the store: ${failureReason(error)}`);
    }
    next(error);
  };
}
