import { createHash, timingSafeEqual } from 'node:crypto';
import express, { type ErrorRequestHandler, type Express, type Request, type RequestHandler } from 'express';
import { getLlm, keysRouter, llmGuard } from '../index.ts';
import type { VirtualKeys } from '../keys/virtual-keys.ts';

export interface GatewayAppOptions {
  readonly keys: VirtualKeys;
  readonly adminToken: string;
  /** Answers requests that were let through: a proxy, or a model. */
  readonly model: RequestHandler;
  readonly logError: (message: string) => void;
}

/** The app of the gateway: LLM routes behind keys, the admin routes, and whether it is well. */
export function createGatewayApp({ keys, adminToken, model, logError }: GatewayAppOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  const isAdmin = adminCheck(adminToken);

  app.get('/healthz', async (_req, res) => {
    const { store } = await keys.health();
    const isUp = store.state === 'up';
    res.status(isUp ? 200 : 503).json({ status: isUp ? 'ok' : 'unavailable', store });
  });
  app.use(
    '/api-keys',
    keysRouter({ keys, authorize: (req) => isAdmin(req) && { actorId: 'admin', role: 'admin' as const } }),
  );
  app.use(['/v1', '/v1beta'], llmGuard({ keys }), (req, res, next) => {
    // CORS preflights come without a key, and are no business of an upstream.
    if (getLlm(req).state === 'authenticated') model(req, res, next);
    else next();
  });
  app.use((_req, res) => {
    res.status(404).json(errorBody('There is nothing at this path', 'invalid_request_error', 'not_found'));
  });
  app.use(unexpectedErrors(logError));
  return app;
}

function adminCheck(adminToken: string): (req: Request) => boolean {
  const expected = sha256(adminToken);
  return (req) => {
    const [, token] = /^Bearer +(\S+)$/i.exec(req.get('authorization') ?? '') ?? [];
    // Digests have one length, and tell nothing of the token by the time that comparing them takes.
    return token !== undefined && timingSafeEqual(sha256(token), expected);
  };
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function unexpectedErrors(logError: (message: string) => void): ErrorRequestHandler {
  return function unexpectedErrors(error, _req, res, next) {
    const status = clientErrorStatus(error);
    if (status === undefined) logError(error instanceof Error ? (error.stack ?? error.message) : String(error));
    if (res.headersSent) next(error);
    else if (status === undefined) res.status(500).json(errorBody('Something went wrong', 'server_error', 'internal'));
    else res.status(status).json(errorBody('The request cannot be read', 'invalid_request_error', 'invalid_request'));
  };
}

/** Express and its parsers mark what the client did wrong by a status. */
function clientErrorStatus(error: unknown): number | undefined {
  const isMarked = typeof error === 'object' && error !== null && 'status' in error;
  const status = isMarked ? error.status : undefined;
  return typeof status === 'number' && status >= 400 && status <= 499 ? status : undefined;
}

function errorBody(message: string, type: string, code: string): object {
  return { error: { message, type, code, param: null } };
}
