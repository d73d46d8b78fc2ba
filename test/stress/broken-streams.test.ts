import assert from 'node:assert/strict';
import { Agent, request as httpRequest } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import express, { type RequestHandler } from 'express';
import { getLlm } from '../../lib/http/context.ts';
import type { EchoBehaviour } from '../../lib/testing/echo-model/behaviour.ts';
import { createEchoModel } from '../../lib/testing/echo-model/echo-model.ts';
import { seededRandom } from '../../lib/testing/store-suite/random.ts';
import { priceBook } from '../../lib/usage/pricing.ts';
import { guardedApp } from '../support/apps.ts';
import { eventually } from '../support/eventually.ts';
import { type Listening, listen } from '../support/listen.ts';
import { createKey, testService } from '../support/service.ts';
import { usageLog } from '../support/usage-events.ts';
import { seedOf } from './seed.ts';

const callsBehindGuard = 7500;
const callsThroughFetch = 2500;
const clientsAtOnce = 24;
const prices = priceBook({ '*': { inputPerMillion: 1, outputPerMillion: 2 } });

/** When a client goes: as soon as it has sent its request, with the head of the answer, after some of it, or never. */
type Leaving = 'sent' | 'head' | 'part' | 'never';

interface Call {
  readonly id: string;
  readonly path: string;
  readonly body: object;
  readonly behaviour: EchoBehaviour;
  readonly leaving: Leaving;
  /** Turns of the event loop, or pieces of the answer, before it goes. */
  readonly after: number;
  readonly isCompressed: boolean;
}

const words = 'one two three four five six seven eight';
const messages = [{ role: 'user', content: words }];
const routes: readonly (readonly [path: string, body: object])[] = [
  ['/v1/chat/completions', { model: 'echo', messages, stream: true }],
  ['/v1/chat/completions', { model: 'echo', messages, stream: true, stream_options: { include_usage: true } }],
  ['/v1/chat/completions', { model: 'echo', messages, n: 2 }],
  ['/v1/completions', { model: 'echo', prompt: words, stream: true }],
  ['/v1/responses', { model: 'echo', input: words, stream: true }],
  ['/v1/messages', { model: 'echo', messages, max_tokens: 50, stream: true }],
  ['/v1/messages', { model: 'echo', messages, max_tokens: 50 }],
  ['/v1beta/models/echo:streamGenerateContent', { contents: [{ role: 'user', parts: [{ text: words }] }] }],
  ['/v1beta/models/echo:streamGenerateContent?alt=sse', { contents: [{ role: 'user', parts: [{ text: words }] }] }],
  ['/v1/embeddings', { model: 'echo', input: words }],
];

function pick<T>(random: () => number, choices: readonly [T, ...T[]]): T {
  return choices[Math.floor(random() * choices.length)] ?? choices[0];
}

function callOf(random: () => number, at: number): Call {
  const [path, body] = routes[Math.floor(random() * routes.length)] ?? ['', {}];
  const fault = pick(random, ['abort', 'truncate', 'stall', 'error_frame', undefined] as const);
  const behaviour: EchoBehaviour = {
    fault,
    faultAfter: Math.floor(random() * 6),
    chunkBytes: pick(random, [undefined, undefined, undefined, undefined, 100]),
    usage: pick(random, [
      undefined,
      undefined,
      'none',
      { inputTokens: -1, outputTokens: 3 },
      { inputTokens: 1e12, outputTokens: 0.5 },
    ]),
    ...(random() < 0.05 && { status: pick(random, [400, 401, 429, 500, 529]) }),
  };
  const isFailure = behaviour.status !== undefined;
  // A stalled answer ends by its client alone; and of a failure it must be known that it came through.
  const leaving = isFailure
    ? 'never'
    : pick<Leaving>(random, fault === 'stall' ? ['sent', 'head'] : ['sent', 'head', 'part', 'never']);
  return {
    id: `call-${at}`,
    path,
    body,
    behaviour,
    leaving,
    after: Math.floor(random() * 4),
    isCompressed: random() < 0.1,
  };
}

/** Makes a call as a client that may go at any moment; resolves when its connection has ended. */
function make({ url }: Listening, agent: Agent, secret: string, call: Call): Promise<void> {
  return new Promise((resolve) => {
    const payload = JSON.stringify(call.body);
    const headers = {
      authorization: `Bearer ${secret}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(payload),
      'x-request-id': call.id,
      'x-echo-behaviour': JSON.stringify(call.behaviour),
      ...(call.isCompressed && { 'x-compressed': 'yes' }),
    };
    const request = httpRequest(`${url}${call.path}`, { method: 'POST', agent, headers });
    let pieces = 0;
    request.once('response', (response) => {
      response.on('error', () => undefined);
      response.on('data', () => {
        pieces += 1;
        if (call.leaving === 'part' && pieces > call.after) request.destroy();
      });
      if (call.leaving === 'head') request.destroy();
    });
    request.once('error', () => undefined);
    request.once('close', resolve);
    request.end(payload, () => {
      if (call.leaving === 'sent') void turns(call.after).then(() => request.destroy());
    });
  });
}

async function turns(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) await turn();
}

/** Answers by a stream that is compressed, and cut in the middle. */
const compressed: RequestHandler = (_req, res) => {
  const frame = `data: ${JSON.stringify({ model: 'echo', choices: [{ index: 0, delta: { content: words } }] })}\n\n`;
  const bytes = gzipSync(frame.repeat(20));
  res.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
  res.write(bytes.subarray(0, bytes.length / 2));
  setImmediate(() => (bytes.length % 2 === 0 ? res.destroy() : res.end()));
};

/** A handler that calls a model by `req.llm.fetch`, and passes on whatever comes of it. */
function forwarding(upstream: Listening): RequestHandler {
  return async function forward(req, res) {
    try {
      const answer = await getLlm(req).fetch(`${upstream.url}${req.originalUrl}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-echo-behaviour': String(req.headers['x-echo-behaviour']) },
        body: JSON.stringify(req.body),
      });
      res.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' });
      res.flushHeaders();
      for await (const bytes of answer.body ?? []) res.write(bytes);
      res.end();
    } catch {
      res.destroy();
    }
  };
}

async function breakStreams(count: number, seed: number, answer: RequestHandler): Promise<void> {
  const service = testService({ prices });
  const { key, secret } = await createKey(service, { maxBudget: 1_000_000 });
  const log = usageLog(service.keys);
  const reached = new Set<string>();
  const app = guardedApp(express, { keys: service.keys }, (req, res, next) => {
    reached.add(getLlm(req).requestId);
    if (req.headers['x-compressed'] === undefined) answer(req, res, next);
    else compressed(req, res, next);
  });
  const server = await listen(app);
  const agent = new Agent({ keepAlive: true, maxSockets: clientsAtOnce });
  const random = seededRandom(seed);
  const calls = Array.from({ length: count }, (_, at) => callOf(random, at));
  try {
    const waiting = calls.values();
    async function client(): Promise<void> {
      for (const call of waiting) await make(server, agent, secret, call);
    }
    await Promise.all(Array.from({ length: clientsAtOnce }, client));
    const open = async () => (await service.keys.balance(key.id)).openRequests;
    await eventually(async () => (await open()) === 0, 'The end of every hold');

    const charges = new Map<string | null, number>();
    for (const { trace, costUsd } of log.events) {
      assert.ok(!charges.has(trace), `${trace} is charged twice`);
      assert.ok(costUsd > 0, `${trace} is charged nothing`);
      charges.set(trace, costUsd);
    }
    for (const call of calls) {
      const isCharged = reached.has(call.id) && (call.behaviour.status === undefined || call.isCompressed);
      assert.equal(charges.has(call.id), isCharged, JSON.stringify(call));
    }
    const spentNanoUsd = log.events.reduce((sum, { costUsd }) => sum + Math.round(costUsd * 1e9), 0);
    const { spend, held } = await service.keys.balance(key.id);
    assert.deepEqual([Math.round(spend * 1e9), held], [spentNanoUsd, 0]);
    assert.ok(reached.size > count / 2, `only ${reached.size} calls were let through`);
    assert.deepEqual(service.log.lines, []);
  } finally {
    agent.destroy();
    await server.close();
    await service.keys.close();
  }
}

describe('Broken streams', function () {
  this.timeout(180_000);

  it('leave no hold open, and each is charged once and not for nothing, behind llmGuard', async function () {
    await breakStreams(callsBehindGuard, seedOf(this, 11), createEchoModel({ keepRequests: 0 }));
  });

  it('leave no hold open, and each is charged once and not for nothing, through req.llm.fetch', async function () {
    const upstream = await listen(createEchoModel({ keepRequests: 0 }));
    try {
      await breakStreams(callsThroughFetch, seedOf(this, 12), forwarding(upstream));
    } finally {
      await upstream.close();
    }
  });
});
