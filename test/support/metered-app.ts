import express, { type RequestHandler } from 'express';
import type { KeyInput } from '../../lib/keys/key-input.ts';
import type { CreateVirtualKeysOptions } from '../../lib/keys/service-options.ts';
import type { Balance } from '../../lib/keys/virtual-keys.ts';
import type { EchoBehaviour } from '../../lib/testing/echo-model/behaviour.ts';
import { createEchoModel } from '../../lib/testing/echo-model/echo-model.ts';
import type { EchoRequest } from '../../lib/testing/echo-model/request.ts';
import { priceBook } from '../../lib/usage/pricing.ts';
import { type ChainOptions, chain, lastResort } from './apps.ts';
import { eventually } from './eventually.ts';
import { type Listening, listen } from './listen.ts';
import { createKey, type TestService, testService } from './service.ts';
import { type UsageLog, usageLog } from './usage-events.ts';

export interface MeteredAppOptions {
  readonly key?: Partial<KeyInput>;
  readonly chain?: ChainOptions;
  readonly service?: Omit<Partial<CreateVirtualKeysOptions>, 'clock'>;
}

/** An app whose handler calls an upstream. */
export interface MeteredApp extends TestService {
  readonly url: string;
  readonly keyId: string;
  readonly secret: string;
  readonly charged: UsageLog;
  /** Posts a chat to the handler. */
  ask(init?: RequestInit): Promise<Response>;
  /** How its key stands, once no call is held. */
  settled(): Promise<Balance>;
  close(): Promise<void>;
}

/** An upstream that echoes. */
export interface Upstream extends Listening {
  readonly requests: readonly EchoRequest[];
  /** How it answers the next requests, one after another; later ones well. */
  behave(...behaviours: readonly EchoBehaviour[]): void;
}

export const meteredPrices = priceBook({
  'gpt-4o': { inputPerMillion: 2, outputPerMillion: 10 },
  'claude-sonnet-4': { inputPerMillion: 3, outputPerMillion: 15 },
  'gemini-2.5-flash': { inputPerMillion: 1, outputPerMillion: 4 },
  'text-embedding-3-small': { inputPerMillion: 1, outputPerMillion: 0 },
});

export async function echoUpstream(): Promise<Upstream> {
  const next: EchoBehaviour[] = [];
  const echo = createEchoModel({ behaviour: () => next.shift() ?? {} });
  return { ...(await listen(echo)), requests: echo.requests, behave: (...behaviours) => void next.push(...behaviours) };
}

export async function meteredApp(handler: RequestHandler, options: MeteredAppOptions = {}): Promise<MeteredApp> {
  const service = testService({ prices: meteredPrices, ...options.service });
  const { key, secret } = await createKey(service, { rpmLimit: 1000, maxBudget: 100, ...options.key });
  const app = express().use(...chain(express, service.keys, options.chain), handler, ...lastResort());
  const { url, close } = await listen(app);
  return {
    ...service,
    url,
    keyId: key.id,
    secret,
    charged: usageLog(service.keys),
    ask: (init) =>
      fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Hi' }] }),
        ...init,
      }),
    async settled() {
      await eventually(async () => {
        const { openRequests, held } = await service.keys.balance(key.id);
        return openRequests === 0 && held === 0;
      }, 'The end of every hold');
      return service.keys.balance(key.id);
    },
    async close() {
      await close();
      await service.keys.close();
    },
  };
}

/** How many requests a minute were counted. */
export function requestsOf({ limits }: Balance): number | undefined {
  return limits.find(({ name }) => name === 'rpm')?.used;
}
