import assert from 'node:assert/strict';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { getActiveResourcesInfo } from 'node:process';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Request, Response } from 'express';
import { llmGuard } from '../../lib/http/guard.ts';
import { memoryStore } from '../../lib/stores/memory/memory-store.ts';
import { priceBook } from '../../lib/usage/pricing.ts';
import { chatAnswer } from '../support/handlers.ts';
import { createKey, testService } from '../support/service.ts';

const rounds = 4;
/** 2,000 in the daily run; `STRESS_REQUESTS=50000` makes it 200,000 in all. */
const requestsPerRound = Number(process.env.STRESS_REQUESTS ?? 2000);
const requestsAtOnce = 100;
/** Two hours pass in a round: that is longer than ended holds are remembered. */
const stepMs = (2 * 3_600_000 * requestsAtOnce) / requestsPerRound;
/** Noise of the collector and of compiled code; a context that is not let go has more than a thousand. */
const maxBytesPerRequest = 300;

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

async function heapBytes(): Promise<number> {
  for (let pass = 0; pass < 4; pass += 1) {
    await turn();
    collectGarbage();
  }
  return process.memoryUsage().heapUsed;
}

const socket = new Socket();

/** A request as Express hands it on, without a connection. */
function requestOf(secret: string, at: number): { req: Request; res: Response } {
  const incoming = new IncomingMessage(socket);
  const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json', 'content-length': '90' };
  Object.assign(incoming, {
    method: 'POST',
    url: '/v1/chat/completions',
    originalUrl: '/v1/chat/completions',
    headers,
    rawHeaders: Object.entries(headers).flat(),
    app: { get: () => false },
    ip: '127.0.0.1',
    body: { model: `model-${at % 50}`, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 5 },
  });
  // Only what middlewares use of them is there.
  return { req: incoming as Request, res: new ServerResponse(incoming) as Response };
}

describe('llmGuard', function () {
  this.timeout(180_000);

  it('keeps neither memory nor timers nor listeners of requests that have ended', async () => {
    const service = testService({
      store: memoryStore({ maxUsageEvents: 100 }),
      prices: priceBook({ '*': { inputPerMillion: 1, outputPerMillion: 2 } }),
    });
    const { key, secret } = await createKey(service, { rpmLimit: 1e9, tpmLimit: 1e9, maxBudget: 1e6 });
    const guard = llmGuard({ keys: service.keys });
    const answer = JSON.stringify(chatAnswer('model'));

    async function serve(at: number): Promise<void> {
      const { req, res } = requestOf(secret, at);
      await new Promise<void>((resolve, reject) => {
        guard(req, res, (error?: unknown) => (error === undefined ? resolve() : reject(error)));
      });
      res.setHeader('content-type', 'application/json');
      // Half of the clients leave before the end.
      if (at % 2 === 0) res.end(answer);
      else res.write(answer.slice(0, 20));
      res.emit('close');
    }

    async function round(): Promise<number> {
      for (let done = 0; done < requestsPerRound; done += requestsAtOnce) {
        await Promise.all(Array.from({ length: requestsAtOnce }, (_, at) => serve(done + at)));
        service.clock.advance(stepMs);
      }
      return heapBytes();
    }

    const timersBefore = getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const listenersBefore = process.eventNames().map((name) => process.listenerCount(name));
    // The first round fills what is kept of the last so many.
    const heaps = [await round()];
    while (heaps.length < rounds) heaps.push(await round());
    const grownBytes = (heaps.at(-1) ?? 0) - (heaps[0] ?? 0);
    const perRequest = grownBytes / (requestsPerRound * (rounds - 1));
    assert.ok(perRequest < maxBytesPerRequest, `${perRequest} bytes are kept of each request: ${heaps}`);

    assert.equal((await service.keys.balance(key.id)).openRequests, 0);
    const timers = getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    assert.ok(timers <= timersBefore + 1, `${timers} timers run, and ${timersBefore} before`);
    assert.deepEqual(
      process.eventNames().map((name) => process.listenerCount(name)),
      listenersBefore,
    );
    assert.deepEqual(service.log.lines, []);
    await service.keys.close();
  });
});
