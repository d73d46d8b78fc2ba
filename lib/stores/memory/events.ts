import { noTokens, type UsageEvent, type UsageSubject } from '../../usage/usage.ts';
import type { Hold, SettleRequest } from '../store.ts';

export function settledEvent(hold: Hold, { usage, costNanoUsd, source, model }: SettleRequest): UsageEvent {
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = usage;
  return {
    ...callOf(hold),
    model: model ?? hold.subject.model,
    inputTokens,
    outputTokens,
    cacheReadTokens,
    cacheWriteTokens,
    costNanoUsd,
    source,
  };
}

/** Nobody knows what the call consumed: its tokens stay unknown, its cost is what was charged. */
export function abandonedEvent(hold: Hold, chargedNanoUsd: number): UsageEvent {
  return { ...callOf(hold), ...noTokens, costNanoUsd: chargedNanoUsd, source: 'abandoned' };
}

export function adjustmentEvent(id: string, subject: UsageSubject, costNanoUsd: number, atMs: number): UsageEvent {
  return {
    ...subject,
    ...noTokens,
    holdId: id,
    callId: '',
    requests: 0,
    costNanoUsd,
    source: 'adjustment',
    atMs,
    trace: null,
  };
}

function callOf({ holdId, callId, subject, atMs, trace }: Hold) {
  return { ...subject, holdId, callId, requests: 1, atMs, trace };
}
