import express, { type RequestHandler } from 'express';
import {
  createVirtualKeys,
  llmGuard,
  priceBook,
  type ShownUsageEvent,
  type Store,
  type VirtualKeys,
} from '../../../lib/index.ts';
import { chatAnswer } from '../handlers.ts';
import { listen } from '../listen.ts';
import type { ConnectedStore } from './store-address.ts';

export interface StationSettings {
  readonly leaseMs?: number;
  readonly onAbandoned?: 'charge' | 'release';
  /** Its clock is ahead of the machine's by so much. */
  readonly clockAheadMs?: number;
}

/** A service and an app in front of it, as each process of a fleet has them. */
export interface Station {
  readonly keys: VirtualKeys;
  /** Has every line of usage. */
  readonly archive: Store;
  /** Where the app answers calls by secret. */
  readonly url: string;
  /** What was charged here. */
  readonly charged: readonly ShownUsageEvent[];
  /** The holds that were ended here by their lease. */
  readonly abandoned: readonly ShownUsageEvent[];
  /** Leaves the store; nothing that is held is given back. */
  close(): Promise<void>;
}

/** Longer than a machine takes that is busy with four processes: an outage is none of the things tested. */
const storeTimeoutMs = 10_000;
const prices = priceBook({ '*': { inputPerMillion: 1, outputPerMillion: 2 } });
const inputTokens = 10;

/** Each call uses as much as its body allows at most. */
const answerWhole: RequestHandler = (req, res) => {
  const { model, max_tokens: outputTokens } = req.body;
  res.json(chatAnswer(model, usageOf(outputTokens)));
};

function usageOf(outputTokens: number) {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
  };
}

/** What a call by secret costs that asks for so many tokens. */
export function costOfCallNanoUsd(maxTokens: number): number {
  return inputTokens * 1000 + maxTokens * 2000;
}

export async function openStation(connected: ConnectedStore, settings: StationSettings = {}): Promise<Station> {
  const { clockAheadMs = 0, ...options } = settings;
  const clock = clockAheadMs === 0 ? undefined : () => Date.now() + clockAheadMs;
  const ignore = () => undefined;
  const keys = createVirtualKeys({
    ...options,
    store: connected.store,
    prices,
    clock,
    storeTimeoutMs,
    logger: { warn: ignore, error: ignore },
  });
  const charged: ShownUsageEvent[] = [];
  const abandoned: ShownUsageEvent[] = [];
  keys.on('usage.recorded', (event) => charged.push(event));
  keys.on('hold.abandoned', (event) => abandoned.push(event));
  const app = await listen(express().use('/v1', llmGuard({ keys }), answerWhole));
  return {
    keys,
    archive: connected.archive,
    url: app.url,
    charged,
    abandoned,
    async close() {
      await app.close();
      await keys.close();
      await connected.disconnect();
    },
  };
}

/** Whether a call with this secret was let through, to the end of its answer. */
export async function callBySecret(
  { url }: Station,
  secret: string,
  maxTokens: number,
): Promise<'admitted' | 'refused' | 'unavailable'> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-4o', max_tokens: maxTokens, messages: [{ role: 'user', content: 'Hello' }] }),
  });
  const answer = await response.text();
  if (response.status === 200) return 'admitted';
  if (response.status === 401 || response.status === 429) return 'refused';
  if (response.status === 503) return 'unavailable';
  throw new Error(`A call was answered ${response.status}: ${answer}`);
}
