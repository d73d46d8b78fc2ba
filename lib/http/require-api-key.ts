import { randomUUID } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import { type Internals, internalsOf } from '../keys/internals.ts';
import type { VirtualKeys } from '../keys/virtual-keys.ts';
import { whenAnswered } from '../stores/answered.ts';
import { asyncHandler } from './async-handler.ts';
import { exposeContext } from './context.ts';
import { type CredentialSource, readCredential, removeCredential } from './credentials.ts';
import { Leaving } from './leaving.ts';
import { attachLlmRequest, type Credential, findLlmRequest, type LlmState } from './llm-request.ts';
import { checkMiddlewareOptions, warnOnce } from './mounting.ts';
import type { Refusal } from './refusal.ts';
import { identifyResponse, refuse } from './refuse.ts';
import { hasBody } from './request-body.ts';
import { readRequestPath } from './request-path.ts';
import { whenClosed } from './response-close.ts';
import { verifyCredential } from './verify-credential.ts';

export interface RequireApiKeyOptions {
  keys: VirtualKeys;
  /** Where the key is, when it is in none of the usual headers. What it answers is not removed from the request. */
  getSecret?: ((req: Request) => string | undefined) | undefined;
  /**
   * Paths that need no key, with all below them, by whole segments: `/healthz` is not `/healthzevil`, and `/` is the root
   * alone. Or a function that tells.
   */
  skip?: readonly string[] | ((req: Request) => boolean) | undefined;
  /** Lets requests without a key through, as `anonymous`. A key that is not good is refused all the same. @defaultValue false */
  optional?: boolean | undefined;
  /** Leaves the key on the request. Then whatever forwards the request forwards the key. @defaultValue false */
  keepCredentials?: boolean | undefined;
  /** Asks the store at each request: without `rateLimit`, a revoked key is otherwise good for `cacheMs`. @defaultValue false */
  fresh?: boolean | undefined;
  /** The address of the client, for `allowedIps` and for noticing guesses. @defaultValue `req.ip` */
  clientAddress?: ((req: Request) => string | undefined) | undefined;
  /** Hands refusals to `next` as errors. @defaultValue false */
  failWithError?: boolean | undefined;
}

export const apiKeyOptions = [
  'keys',
  'getSecret',
  'skip',
  'optional',
  'keepCredentials',
  'fresh',
  'clientAddress',
  'failWithError',
];
const untrustedProxy =
  'X-Forwarded-For arrives and "trust proxy" is off: all clients of the proxy count as one address (see Express, behind proxies)';
const clientRequestId = /^[\w.-]{1,128}$/;

/**
 * Lets requests through that carry a good key, and tells the middlewares after it whose it is. Needs no parsed body:
 * mount it before the parser, so that strangers cannot make the server parse.
 *
 * @throws TypeError for unknown options
 */
export function requireApiKey(options: RequireApiKeyOptions): RequestHandler {
  checkMiddlewareOptions('requireApiKey', options, apiKeyOptions);
  const service = internalsOf('requireApiKey', options.keys);
  const isSkipped = skipper(options.skip);
  const { optional = false, keepCredentials = false, fresh = false, failWithError } = options;
  const { secrets } = service;
  const isOurs = (text: string) => secrets.read(text) !== 'foreign';
  const find = options.getSecret === undefined ? findInHeaders : findBy(options.getSecret);

  function addressOf(req: Request): string | undefined {
    if (options.clientAddress !== undefined) return options.clientAddress(req);
    if (req.headers['x-forwarded-for'] !== undefined && !req.app.get('trust proxy')) {
      warnOnce(service.options.logger, untrustedProxy);
    }
    return req.ip;
  }

  function findInHeaders(req: Request): Found {
    return { ...readCredential(req, isOurs, secrets.mayBeImported), removable: !keepCredentials };
  }

  return asyncHandler(function requireApiKey(req, res, next) {
    const known = findLlmRequest(req);
    // One that has let the request through without a key of this service does not speak for this one.
    if (known?.state === 'authenticated' && known.service === service) {
      warnOnce(service.options.logger, 'requireApiKey is mounted twice on one route; it acts once');
      next();
      return;
    }
    const requestId = requestIdOf(req, (text) => isOurs(text) || secrets.mayBeImported(text));
    const enter = (state: LlmState, credential?: Credential) => {
      attach(req, res, service, requestId, state, credential);
      next();
    };
    if (isPreflight(req) || isSkipped(req)) return enter('skipped');

    identifyResponse(res, requestId);
    const refused = (refusal: Refusal) => refuse(req, res, next, refusal, { requestId, failWithError });
    const found = find(req);
    if (found.kind === 'missing') return optional ? enter('anonymous') : refused({ kind: 'missing_key' });
    if (found.kind === 'invalid') return refused({ kind: 'invalid_key' });
    if (found.kind === 'ambiguous') return refused({ kind: 'ambiguous_key' });
    return whenAnswered(verifyCredential(service, found.secret, { fresh, address: addressOf(req) }), (verified) => {
      if ('refusal' in verified) return refused(verified.refusal);
      if (found.removable) removeCredential(req as CredentialSource, found);
      enter('authenticated', verified.credential);
    });
  });
}

type Found = ReturnType<typeof readCredential> & { readonly removable: boolean };

function findBy(getSecret: (req: Request) => string | undefined): (req: Request) => Found {
  return (req) => {
    const secret = getSecret(req);
    if (secret === undefined || secret === '') return { kind: 'missing', removable: false };
    return { kind: 'found', secret, places: [], removable: false };
  };
}

function attach(
  req: Request,
  res: Response,
  service: Internals,
  requestId: string,
  state: LlmState,
  credential: Credential | undefined,
): void {
  const leaving = new Leaving();
  const llm = {
    state,
    requestId,
    service,
    credential,
    route: undefined,
    call: undefined,
    recorded: undefined,
    upstream: { enforceModels: false, injectUsage: true, drainMs: 0 },
    isDelegated: false,
    budgetStatus: undefined,
    maxOutageMs: undefined,
    usage: undefined,
    leaving,
    acted: [],
  };
  attachLlmRequest(req, llm);
  exposeContext(req);
  whenClosed(res, () => {
    if (!res.writableFinished) leaving.leave();
  });
}

/** The client's own id, unless it is of no use in a log, or a key that went into the wrong header. */
function requestIdOf(req: Request, isOurs: (text: string) => boolean): string {
  const given = req.headers['x-request-id'];
  const isFit = typeof given === 'string' && clientRequestId.test(given) && !isOurs(given);
  return isFit ? given : `req_${randomUUID()}`;
}

/** Browsers send preflights without a body. A handler that never looks at the method would take one for a call. */
function isPreflight({ method, headers }: Request): boolean {
  return method === 'OPTIONS' && headers['access-control-request-method'] !== undefined && !hasBody(headers);
}

function skipper(skip: RequireApiKeyOptions['skip']): (req: Request) => boolean {
  if (skip === undefined) return () => false;
  if (typeof skip === 'function') return skip;
  if (!Array.isArray(skip) || !skip.every((path) => typeof path === 'string' && path.startsWith('/'))) {
    throw new TypeError("requireApiKey: skip must be paths such as ['/healthz'], or a function of the request");
  }
  const paths = skip.map((path) => path.toLowerCase().replace(/(?<=.)\/+$/, ''));
  return (req) => {
    const path = readRequestPath(req.originalUrl)?.path;
    // Below the root is everything: nobody means that by '/'.
    return path !== undefined && paths.some((skipped) => path === skipped || path.startsWith(`${skipped}/`));
  };
}
