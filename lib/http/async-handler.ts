import type { NextFunction, Request, RequestHandler, Response } from 'express';

/** A handler of the same name whose rejection goes to `next`, which Express does by itself only from version 5 on. */
export function asyncHandler(
  handle: (req: Request, res: Response, next: NextFunction) => Promise<void>,
): RequestHandler {
  const handler: RequestHandler = (req, res, next) => {
    handle(req, res, next).catch(next);
  };
  return Object.defineProperty(handler, 'name', { value: handle.name });
}
