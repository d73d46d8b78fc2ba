import type { NextFunction, Request, Response } from 'express';
import { LlmKeysError } from '../errors.ts';
import { type Dialect, dialectOf } from './dialect.ts';
import { exposing } from './expose-headers.ts';
import type { Refusal } from './refusal.ts';
import { refusalAnswer, refusalParam } from './refusal-answer.ts';
import { refusalMessage } from './refusal-messages.ts';
import { refusalRow } from './refusal-table.ts';
import { readRequestPath } from './request-path.ts';
import { beforeHead } from './response-head.ts';
import { createRouteTable, type RouteTable } from './route-table.ts';

export interface RefuseOptions {
  readonly requestId: string;
  /** That of the request's route, where it is known; otherwise the path and the headers tell it. */
  readonly dialect?: Dialect | undefined;
  readonly budgetStatus?: 429 | 402 | undefined;
  /** Hands the refusal to `next` instead of answering. */
  readonly failWithError?: boolean | undefined;
}

/** A refused request, for error handlers: what `failWithError` hands to `next`. */
export class RefusedError extends LlmKeysError {
  readonly refusal: Refusal;
  readonly requestId: string;
  readonly dialect: Dialect | undefined;
  readonly budgetStatus: 429 | 402 | undefined;

  constructor(refusal: Refusal, { requestId, dialect, budgetStatus }: RefuseOptions) {
    const { code, status } = refusalRow(refusal);
    super(code, status, refusalMessage(refusal), { param: refusalParam(refusal) ?? undefined });
    this.refusal = refusal;
    this.requestId = requestId;
    this.dialect = dialect;
    this.budgetStatus = budgetStatus;
  }
}

const providerTable: RouteTable = createRouteTable();

/** Answers a refused request in the dialect of its client, or hands the refusal to the app's error handlers. */
export function refuse(
  req: Request,
  res: Response,
  next: NextFunction,
  refusal: Refusal,
  options: RefuseOptions,
): void {
  if (options.failWithError === true) next(new RefusedError(refusal, options));
  else sendRefusal(req, res, refusal, options);
}

export function sendRefusal(req: Request, res: Response, refusal: Refusal, options: RefuseOptions): void {
  const { requestId, budgetStatus, dialect = dialectByPath(req) } = options;
  const answer = refusalAnswer(refusal, { dialect, requestId, budgetStatus });
  res.status(answer.status).set(answer.headers);
  res.json(answer.body);
}

function dialectByPath(req: Request): Dialect {
  const path = readRequestPath(req.originalUrl);
  return dialectOf(path && providerTable.findByPath(path)?.route, req.headers);
}

/** Tells the id under which logs know the request, and lets a browser's client read what this package tells. */
export function identifyResponse(res: Response, requestId: string): void {
  // Just before the head is sent, over those of an upstream that a handler has passed on.
  beforeHead(res, () => {
    res.setHeader('x-request-id', requestId);
    res.setHeader('request-id', requestId);
    exposeAlways(res);
  });
}

const exposeAlways = exposing([]);
