import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { pipeline } from 'node:stream';
import type { Request, RequestHandler, Response } from 'express';
import { getLlm } from '../index.ts';
import { type ProviderDialect, providerErrorBody } from '../testing/echo-model/provider-error.ts';
import type { Upstream } from './environment.ts';
import { clientHeaders, upstreamHeaders, upstreamUrl } from './upstream-request.ts';

/** Models that think may say nothing for minutes. */
const silenceMs = 600_000;

export interface UpstreamProxy {
  readonly handler: RequestHandler;
  /** Drops idle connections. */
  close(): void;
}

/**
 * Passes requests on to an upstream and its answers back as they come, no faster than the client reads them. When the
 * client leaves, the call upstream is aborted. Node's own client is used: `fetch` takes about half as long again for each
 * chunk of a stream.
 */
export function createUpstreamProxy(upstream: Upstream, warn: (message: string) => void): UpstreamProxy {
  const { Agent, request } = upstream.baseUrl.protocol === 'https:' ? https : http;
  const agent = new Agent({ keepAlive: true });

  function send(req: Request, res: Response, dialect: ProviderDialect, body: Buffer | undefined): ClientRequest {
    const outgoing = request(upstreamUrl(upstream.baseUrl, req.originalUrl), {
      agent,
      method: req.method,
      headers: {
        ...upstreamHeaders(upstream, dialect, req.headers),
        ...(body !== undefined && { 'content-length': body.length }),
      },
    });
    outgoing.setTimeout(silenceMs, () => outgoing.destroy(new SilenceError()));
    outgoing.once('response', (incoming) => passOn(incoming, res, dialect));
    if (body === undefined && req.readable) pipeline(req, outgoing, () => undefined);
    else outgoing.end(body);
    return outgoing;
  }

  function passOn(incoming: IncomingMessage, res: Response, dialect: ProviderDialect): void {
    if (incoming.statusCode === 401) {
      warn('The upstream refuses the key in UPSTREAM_API_KEY');
      incoming.resume();
      // It is not the client's key that is wrong, and trying again does not mend it.
      res.setHeader('x-should-retry', 'false');
      sendError(res, dialect, 502, 'The upstream does not accept the credential of this gateway');
      return;
    }
    res.writeHead(incoming.statusCode ?? 502, clientHeaders(incoming.headers));
    incoming.pipe(res);
    incoming.once('error', () => undefined);
    // A client must not take a part for the whole.
    incoming.once('close', () => {
      if (!incoming.complete) res.destroy();
    });
  }

  function handle(req: Request, res: Response): void {
    const dialect = dialectOf(req);
    const body = req.body === undefined ? undefined : Buffer.from(JSON.stringify(req.body));

    function attempt(isRetry: boolean): void {
      const outgoing = send(req, res, dialect, body);
      const leave = () => outgoing.destroy();
      res.once('close', leave);
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        res.off('close', leave);
        if (res.headersSent || res.destroyed) return;
        // The upstream had closed an idle connection at the moment when it was used again: it has seen nothing.
        const isStale = outgoing.reusedSocket && error.code === 'ECONNRESET' && body !== undefined;
        if (isStale && !isRetry) attempt(true);
        else answerFailure(error, res, dialect);
      });
    }
    attempt(false);
  }

  function answerFailure(error: NodeJS.ErrnoException, res: Response, dialect: ProviderDialect): void {
    if (error instanceof SilenceError) sendError(res, dialect, 504, 'The upstream has not answered in time');
    else {
      warn(`The upstream cannot be reached: ${error.code ?? error.message}`);
      sendError(res, dialect, 502, 'The upstream cannot be reached');
    }
  }

  return { handler: handle, close: () => agent.destroy() };
}

class SilenceError extends Error {}

function sendError(res: Response, dialect: ProviderDialect, status: number, message: string): void {
  res.status(status).json(providerErrorBody(dialect, { status, message, code: 'upstream_error' }));
}

function dialectOf(req: Request): ProviderDialect {
  const endpoint = getLlm(req).endpoint ?? '';
  if (endpoint.startsWith('/v1beta')) return 'gemini';
  return endpoint.startsWith('/v1/messages') ? 'anthropic' : 'openai';
}
