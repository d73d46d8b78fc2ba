import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { pipeline } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import express, { type Express, type RequestHandler } from 'express';
import rateLimit from 'express-rate-limit';
import { Agent, request } from 'undici';
import { createGatewayApp } from '../lib/gateway/gateway-app.ts';
import { gatewayPrices } from '../lib/gateway/prices.ts';
import { createUpstreamProxy } from '../lib/gateway/upstream-proxy.ts';
import { createVirtualKeys, llmGuard, memoryStore, type VirtualKeys } from '../lib/index.ts';
import { model, sixLimits } from './sample-keys.ts';

/** A server that is measured, or that stands behind one. */
export interface BenchServer {
  /** Where it has not begun to listen, it is told to. */
  readonly server: Pick<Server, 'address' | 'listen' | 'listening'>;
  readonly headers?: { readonly [name: string]: string };
  /** How many calls were settled; those not admitted are not among them. */
  readonly settled?: () => Promise<number>;
}

/** Servers by name. Those in front of another one are given its port. */
export const servers = {
  express: () => served(express().use('/v1', express.json({ limit: '20mb' }), answer)),
  'express-rate-limit': () => {
    const limiter = rateLimit({ windowMs: 60_000, limit: 1_000_000_000 });
    return served(express().use('/v1', limiter, express.json({ limit: '20mb' }), answer));
  },
  llmGuard: async () => {
    const { keys, ...rest } = await keysOfBench();
    return { server: createServer(express().use('/v1', llmGuard({ keys }), answer)), ...rest };
  },

  upstream: () => ({ server: createServer(answerAsUpstream) }),
  'express + undici': (upstreamPort) =>
    served(express().use('/v1', express.json({ limit: '20mb' }), forward(upstreamPort))),
  gateway: async (upstreamPort) => {
    const { keys, ...rest } = await keysOfBench();
    const upstream = { baseUrl: new URL(`http://127.0.0.1:${upstreamPort}/v1`), apiKey: undefined };
    const { handler } = createUpstreamProxy(upstream, console.warn);
    const app = createGatewayApp({ keys, adminToken: 'bench', model: handler, logError: console.error });
    return { server: createServer(app), ...rest };
  },

  '@portkey-ai/gateway': portkey,

  'raw pipe': (upstreamPort) => served(express().use('/v1', pipeFrom(upstreamPort))),
  'metered pipe': async (upstreamPort) => {
    const { keys, ...rest } = await keysOfBench();
    return { server: createServer(express().use('/v1', llmGuard({ keys }), pipeFrom(upstreamPort))), ...rest };
  },
} satisfies { readonly [name: string]: (upstreamPort: number) => BenchServer | Promise<BenchServer> };

export type ServerName = keyof typeof servers;

function served(app: Express): BenchServer {
  return { server: createServer(app) };
}

async function keysOfBench(): Promise<Omit<BenchServer, 'server'> & { keys: VirtualKeys }> {
  const keys = createVirtualKeys({ store: memoryStore(), prices: gatewayPrices() });
  const { secret } = await keys.create({ name: 'Bench', models: [model], ...sixLimits });
  return {
    keys,
    headers: { authorization: `Bearer ${secret}` },
    settled: async () => (await keys.usage({})).totals.requests,
  };
}

const completion = {
  id: 'chatcmpl-bench',
  object: 'chat.completion',
  created: 1_800_000_000,
  model,
  choices: [{ index: 0, message: { role: 'assistant', content: 'word '.repeat(60) }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 200, completion_tokens: 60, total_tokens: 260 },
};

const answer: RequestHandler = (_req, res) => {
  res.json(completion);
};

const completionBytes = Buffer.from(JSON.stringify(completion));
const streamedChunks = 200;
const chunk = {
  id: 'chatcmpl-bench',
  object: 'chat.completion.chunk',
  created: 1_800_000_000,
  model,
  choices: [{ index: 0, delta: { content: 'word ' }, finish_reason: null }],
};
const frame = Buffer.from(`data: ${JSON.stringify(chunk)}\n\n`);
const lastFrames = Buffer.from(
  `data: ${JSON.stringify({ ...chunk, choices: [], usage: completion.usage })}\n\ndata: [DONE]\n\n`,
);

/** Answers at once, and streams chunk by chunk where the path says so. */
function answerAsUpstream(req: IncomingMessage, res: ServerResponse): void {
  req.resume();
  if (req.url !== '/stream') {
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': completionBytes.length });
    res.end(completionBytes);
    return;
  }
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  let left = streamedChunks;
  const next = () => {
    left -= 1;
    if (left < 0) res.end(lastFrames);
    else res.write(frame, () => setImmediate(next));
  };
  next();
}

/** Its command starts a server on a port that it is told, and tells nobody when that listens. */
async function portkey(upstreamPort: number): Promise<BenchServer> {
  const port = await freePort();
  process.argv.push(`--port=${port}`, '--headless');
  await import('@portkey-ai/gateway/build/start-server.js' as string);
  while (!(await isListening(port))) await pause(50);
  return {
    server: { listening: true, address: () => ({ port, address: '127.0.0.1', family: 'IPv4' }), listen: neverCalled },
    headers: {
      authorization: 'Bearer sk-bench',
      'x-portkey-provider': 'openai',
      'x-portkey-custom-host': `http://127.0.0.1:${upstreamPort}/v1`,
    },
  };
}

function neverCalled(): never {
  throw new Error('It listens already');
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** What an app does that looks at the body and passes it on. */
function forward(upstreamPort: number): RequestHandler {
  const dispatcher = new Agent();
  return async (req, res) => {
    const upstream = await request(`http://127.0.0.1:${upstreamPort}${req.originalUrl}`, {
      dispatcher,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(req.body),
    });
    res.writeHead(upstream.statusCode, { 'content-type': String(upstream.headers['content-type']) });
    pipeline(upstream.body, res, () => undefined);
  };
}

function pipeFrom(upstreamPort: number): RequestHandler {
  const dispatcher = new Agent();
  return async (_req, res) => {
    const upstream = await request(`http://127.0.0.1:${upstreamPort}/stream`, { dispatcher, method: 'GET' });
    res.writeHead(upstream.statusCode, { 'content-type': 'text/event-stream' });
    pipeline(upstream.body, res, () => undefined);
  };
}
