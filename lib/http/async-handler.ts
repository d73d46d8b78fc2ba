import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { inBackground } from '../stores/answered.ts';
import type { Answer } from '../stores/store.ts';

/**
 * A handler of the same name whose failure goes to `next`, whether it throws or rejects: Express does that by itself only
 * from version 5 on, and not for handlers that another one calls.
 */
export function asyncHandler(
  handle: (req: Request, res: Response, next: NextFunction) => Answer<void>,
): RequestHandler {
  const handler: RequestHandler = (req, res, next) => {
    inBackground(() => handle(req, res, next), next);
  };
  return Object.defineProperty(handler, 'name', { value: handle.name });
}
