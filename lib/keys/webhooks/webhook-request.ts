import { createHmac } from 'node:crypto';
import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { LookupFunction } from 'node:net';
import { isPrivateAddress } from './private-address.ts';
import type { WebhookTarget } from './webhook-options.ts';

/** The resolver of `node:dns`, as far as it is used. */
export type Lookup = (
  hostname: string,
  options: { readonly all: true; readonly family?: number; readonly hints?: number },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** One alert on its way. */
export interface WebhookMessage {
  readonly id: string;
  readonly body: string;
}

/** Posts a message once; answers the status, or throws where there is none. */
export type PostWebhook = (target: WebhookTarget, message: WebhookMessage, signal: AbortSignal) => Promise<number>;

export interface WebhookRequestOptions {
  /** Epoch milliseconds, for the signature. */
  readonly now: () => number;
  readonly timeoutMs: number;
  readonly lookup?: Lookup | undefined;
}

/**
 * Posts by `node:http`, whose `lookup` sees the address that is connected to: a name is judged by what it resolves to at
 * that moment. Redirects are answers like others, and not followed.
 */
export function createWebhookRequest(options: WebhookRequestOptions): PostWebhook {
  const { now, timeoutMs, lookup = systemLookup as Lookup } = options;

  return (target, { id, body }, signal) =>
    new Promise((resolve, reject) => {
      const send = target.url.protocol === 'https:' ? requestHttps : requestHttp;
      const request = send(target.url, {
        method: 'POST',
        // A socket of its own: one that others left open was not looked at when it was connected.
        agent: false,
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
        ...(!target.allowPrivate && { lookup: publicOnly(lookup) }),
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          'user-agent': 'express-llm-keys',
          'x-llm-keys-event-id': id,
          'x-llm-keys-signature': webhookSignature(target.secret, Math.floor(now() / 1000), body),
        },
      });
      request.on('error', reject);
      request.on('response', (response) => {
        // What it says beyond the status is of no interest, and may be without end.
        response.on('error', () => undefined);
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      request.end(body);
    });
}

/** `t=<unix seconds>,v1=<hex>`: the HMAC-SHA-256 of `<t>.<body>`, so that neither can be replaced. */
export function webhookSignature(secret: string, unixSeconds: number, body: string): string {
  const digest = createHmac('sha256', secret).update(`${unixSeconds}.${body}`).digest('hex');
  return `t=${unixSeconds},v1=${digest}`;
}

/** A name that resolves to any private address is refused whole: which one is connected to is up to the socket. */
export function publicOnly(lookup: Lookup): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...familyOf(options), all: true }, (error, addresses) => {
      const [first] = addresses ?? [];
      if (error !== null) callback(error, '');
      else if (first === undefined) callback(privateAddressError('resolves to no address'), '');
      else if (addresses.some(({ address }) => isPrivateAddress(address))) {
        callback(privateAddressError('resolves to a private address'), '');
      } else if (options.all) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

function familyOf({ family, hints }: Parameters<LookupFunction>[1]): { family?: number; hints?: number } {
  return { ...(typeof family === 'number' && { family }), ...(hints !== undefined && { hints }) };
}

function privateAddressError(message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`The host ${message}`), { code: 'EPRIVATE' });
}
