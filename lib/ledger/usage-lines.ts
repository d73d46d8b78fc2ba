import type { Hold, SettleRequest } from '../stores/store.ts';
import { noTokens, type UsageEvent, type UsageSubject } from '../usage/usage.ts';

// Written out: objects of this size that are spread from others cost more than all the deciding.
export function settledEvent(hold: Hold, { usage, costNanoUsd, source, model }: SettleRequest): UsageEvent {
  const { subject } = hold;
  return {
    keyId: subject.keyId,
    ownerId: subject.ownerId,
    teamId: subject.teamId,
    model: model ?? subject.model,
    endpoint: subject.endpoint,
    inputTokens: usage.inputTokens,
    outputTokens: usage.outputTokens,
    cacheReadTokens: usage.cacheReadTokens,
    cacheWriteTokens: usage.cacheWriteTokens,
    holdId: hold.holdId,
    callId: hold.callId,
    source,
    requests: 1,
    costNanoUsd,
    atMs: hold.atMs,
    trace: hold.trace,
  };
}

/** Nobody knows what the call consumed: its tokens stay unknown, its cost is what was charged. */
export function abandonedEvent(hold: Hold, chargedNanoUsd: number): UsageEvent {
  const { model } = hold.subject;
  return settledEvent(hold, { hold, usage: noTokens, costNanoUsd: chargedNanoUsd, source: 'abandoned', model });
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
