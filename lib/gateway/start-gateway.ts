import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import type { RequestHandler } from 'express';
import { createVirtualKeys } from '../index.ts';
import type { Mirror } from '../litellm/index.ts';
import { createEchoModel } from '../testing/index.ts';
import type { PriceBook } from '../usage/pricing.ts';
import { type Environment, type GatewaySettings, readEnvironment, StartError } from './environment.ts';
import { createGatewayApp } from './gateway-app.ts';
import { createMirror, keepStarting } from './litellm-mirror.ts';
import { openStore } from './open-store.ts';
import { echoMaxOutputTokens, gatewayPrices } from './prices.ts';
import { createUpstreamProxy } from './upstream-proxy.ts';
import { welcomeText } from './welcome.ts';

export interface StartGatewayOptions {
  /** Takes what the operator is to read. */
  readonly write: (text: string) => void;
  /** How long running answers may take to end when the gateway stops. @defaultValue 10,000 */
  readonly graceMs?: number | undefined;
}

export interface Gateway {
  readonly url: string;
  readonly adminToken: string;
  /** Takes no more requests, lets running answers end, settles what they cost, and resolves. */
  close(): Promise<void>;
}

/**
 * Starts the gateway that `npm start` runs, as the environment says.
 *
 * @throws StartError naming what is wrong with the environment, or why it cannot listen
 */
export async function startGateway(env: Environment, options: StartGatewayOptions): Promise<Gateway> {
  const { write, graceMs = 10_000 } = options;
  const settings = readEnvironment(env);
  const adminToken = settings.adminToken ?? randomBytes(24).toString('base64url');
  const logger = {
    warn: (message: string) => write(`warning: ${message}\n`),
    error: (message: string) => write(`error: ${message}\n`),
  };
  const prices = gatewayPrices();
  const opened = await openStore(settings);
  const keys = createVirtualKeys({
    store: opened.store,
    prices,
    secretPrefix: settings.secretPrefix,
    defaults: settings.keyDefaults,
    logger,
  });
  const model = createModel(settings, prices, logger.warn);
  const server = createServer(createGatewayApp({ keys, adminToken, model: model.handler, logError: logger.error }));
  let mirror: Mirror | undefined;
  let giveUpMirror: (() => void) | undefined;
  let closing: Promise<void> | undefined;

  async function close(): Promise<void> {
    await closeServer(server, graceMs);
    // The last answers have just ended; what they cost is being settled.
    await turn();
    await leave();
  }

  async function leave(): Promise<void> {
    giveUpMirror?.();
    await mirror?.stop();
    await keys.close();
    model.close();
    await opened.close();
  }

  try {
    if (settings.litellm !== null) {
      mirror = createMirror(keys, settings.litellm);
      giveUpMirror = await keepStarting(mirror, logger.warn);
    }
    await listen(server, settings);
  } catch (error) {
    await leave();
    throw error;
  }
  const url = urlOf(server, settings);
  write(welcomeText({ url, settings, adminToken, storeName: opened.store.name }));
  return {
    url,
    adminToken,
    close() {
      closing ??= close();
      return closing;
    },
  };
}

function createModel(
  { upstream }: GatewaySettings,
  prices: PriceBook,
  warn: (message: string) => void,
): { readonly handler: RequestHandler; close(): void } {
  if (upstream !== null) return createUpstreamProxy(upstream, warn);
  const echo = createEchoModel({ models: prices.names, maxOutputTokens: echoMaxOutputTokens, keepRequests: 0 });
  return { handler: echo, close: () => undefined };
}

async function listen(server: Server, { port, host }: GatewaySettings): Promise<void> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const reasons: { readonly [code: string]: string } = {
      EADDRINUSE: `PORT ${port} is in use on ${host}: stop what listens there, or set another one`,
      EACCES: `PORT ${port} may not be used by this user: set one above 1023`,
      EADDRNOTAVAIL: `HOST ${host} is no address of this machine`,
      ENOTFOUND: `HOST ${host} is not known`,
    };
    throw new StartError(reasons[String(code)] ?? `It cannot listen on ${host}:${port}: ${code}`, { cause: error });
  }
}

function urlOf(server: Server, { host, port }: GatewaySettings): string {
  const address = server.address();
  const actualPort = typeof address === 'object' && address !== null ? address.port : port;
  return `http://${host.includes(':') ? `[${host}]` : host}:${actualPort}`;
}

async function closeServer(server: Server, graceMs: number): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  // Clients keep connections for further requests; none of those will be taken.
  server.prependListener('request', (_req, res) => res.setHeader('connection', 'close'));
  const idling = setInterval(() => server.closeIdleConnections(), 100);
  const impatience = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearInterval(idling);
  clearTimeout(impatience);
}
