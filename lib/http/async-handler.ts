import type { NextFunction, Request, RequestHandler, Response } from 'express';

/** A handler whose rejection goes to `next`, which Express does by itself only from version 5 on. */
export function asyncHandler(
  handle: (req: Request, res: Response, next: NextFunction) => Promise<void>,
): RequestHandler {
  return function handleAsync(req, res, next) {
    handle(req, res, next).catch(next);
  };
}
