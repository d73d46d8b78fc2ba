import express, { type RequestHandler } from 'express';
import { getLlm } from '../../lib/http/context.ts';
import type { LlmGuardOptions } from '../../lib/http/guard.ts';
import type { KeyInput } from '../../lib/keys/key-input.ts';
import { createEchoModel, type EchoModel, type EchoModelOptions } from '../../lib/testing/index.ts';
import { priceBook } from '../../lib/usage/pricing.ts';
import { guardedApp } from './apps.ts';
import { eventually } from './eventually.ts';
import { type Listening, listen } from './listen.ts';
import { createKey, type TestService, testService } from './service.ts';
import { type UsageLog, usageLog } from './usage-events.ts';

/** The same rates for every model: $1 for a million tokens of input, $2 of output. */
const prices = priceBook({ '*': { inputPerMillion: 1, outputPerMillion: 2 } });

export interface GuardedEcho extends TestService {
  readonly url: string;
  readonly keyId: string;
  readonly secret: string;
  readonly echo: EchoModel;
  readonly usage: UsageLog;
  /** How many requests have come, refused ones included. */
  readonly requests: () => number;
  readonly signals: readonly AbortSignal[];
  /** What the key has spent, once none of its calls is open. */
  readonly spend: () => Promise<number>;
  readonly close: () => Promise<void>;
}

export interface GuardedEchoOptions {
  readonly key?: Partial<KeyInput>;
  readonly guard?: Omit<LlmGuardOptions, 'keys'>;
  readonly echo?: EchoModelOptions;
}

/** An echo model behind the guard, with a key to it, for the real clients of providers. */
export async function guardedEcho({
  key: fields,
  guard,
  echo: echoOptions,
}: GuardedEchoOptions = {}): Promise<GuardedEcho> {
  const service = testService({ prices });
  const { key, secret } = await createKey(service, fields);
  const echo = createEchoModel(echoOptions);
  const usage = usageLog(service.keys);
  const signals: AbortSignal[] = [];
  let requests = 0;
  const answer: RequestHandler = (req, res) => {
    signals.push(getLlm(req).signal);
    echo(req, res);
  };
  const app = express().use((_req, _res, next) => {
    requests += 1;
    next();
  });
  const server: Listening = await listen(app.use(guardedApp(express, { keys: service.keys, ...guard }, answer)));
  return {
    ...service,
    ...{ url: server.url, keyId: key.id, secret, echo, usage, signals, close: server.close },
    requests: () => requests,
    async spend() {
      await eventually(async () => (await service.keys.balance(key.id)).openRequests === 0, 'The end of all calls');
      const { spend, held } = await service.keys.balance(key.id);
      if (held !== 0) throw new Error(`$${held} is still held`);
      return spend;
    },
  };
}

/** What a promise was rejected with. */
export async function rejection(promise: PromiseLike<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('It was not rejected with an error');
}
