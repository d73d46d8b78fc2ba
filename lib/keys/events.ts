import type { ScopeKind } from '../limits/limit.ts';
import type { Logger } from '../stores/store.ts';
import type { UsageSource } from '../usage/usage.ts';
import type { ShownSync } from './attached-mirror.ts';
import type { ShownAlert } from './shown-alert.ts';
import type { VirtualKey } from './shown-key.ts';

/** A line of the usage record as told to listeners; money in USD. */
export interface ShownUsageEvent {
  readonly holdId: string;
  readonly callId: string;
  readonly keyId: string;
  readonly ownerId: string | null;
  readonly teamId: string | null;
  readonly model: string | null;
  readonly endpoint: string | null;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cacheReadTokens: number;
  readonly cacheWriteTokens: number;
  readonly costUsd: number;
  readonly source: UsageSource;
  readonly at: string;
  readonly trace: string | null;
}

/** What listeners are told, by event. Nothing here ever holds a secret or a hash. */
export interface KeyEvents {
  'key.created': { readonly key: VirtualKey };
  'key.updated': { readonly key: VirtualKey; readonly before: VirtualKey };
  'key.rotated': { readonly key: VirtualKey; readonly graceEndsAt: string | null };
  'key.revoked': { readonly key: VirtualKey; readonly reason: string | null };
  'key.deleted': { readonly key: VirtualKey };
  'usage.recorded': ShownUsageEvent;
  /** Nothing usable was reported, and the estimate or what was seen was charged. */
  'usage.estimated': ShownUsageEvent & { readonly problem: string };
  /** A call was charged nothing because no price is known for its model. */
  'usage.unpriced': { readonly keyId: string; readonly model: string | null };
  /** The soft budget, or 80, 90 or 95 percent of a budget, is spent: once for each such amount and period. */
  'budget.warning': ShownAlert;
  /** A budget is spent: once for its amount and period. */
  'budget.exceeded': ShownAlert;
  'hold.abandoned': ShownUsageEvent;
  'hold.lost': ShownUsageEvent;
  /** What a call consumed could not be charged, because the store was away for too long: it may be recorded by hand. */
  'usage.lost': ShownUsageEvent;
  /** `reason` is what the store's driver said, in one line. */
  'store.down': { readonly store: string; readonly reason: string };
  'store.up': { readonly store: string };
  'record.corrupt': { readonly scope: ScopeKind; readonly id: string };
  /** A record is older than the ledger knows it, as after a backup was restored: it denies until it is repaired. */
  'record.outdated': { readonly scope: ScopeKind; readonly id: string };
  /** How a key stands with its twin in another system has changed. */
  'sync.changed': { readonly keyId: string; readonly sync: ShownSync };
}

export type KeyEventName = keyof KeyEvents;

const names: { readonly [name in KeyEventName]: true } = {
  'key.created': true,
  'key.updated': true,
  'key.rotated': true,
  'key.revoked': true,
  'key.deleted': true,
  'usage.recorded': true,
  'usage.estimated': true,
  'usage.unpriced': true,
  'budget.warning': true,
  'budget.exceeded': true,
  'hold.abandoned': true,
  'hold.lost': true,
  'usage.lost': true,
  'store.down': true,
  'store.up': true,
  'record.corrupt': true,
  'record.outdated': true,
  'sync.changed': true,
};

export interface Events {
  emit<N extends KeyEventName>(name: N, event: KeyEvents[N]): void;
  /** The function returned takes the listener off. @throws TypeError for a name that no event has */
  on<N extends KeyEventName>(name: N, listener: (event: KeyEvents[N]) => void): () => void;
  /** Whether anybody listens: an event that is costly to make need not be made otherwise. */
  has(name: KeyEventName): boolean;
}

/** Tells listeners. One that throws is logged, and holds up neither the others nor the request. */
export function createEvents(logger: Logger): Events {
  const listeners = new Map<KeyEventName, Set<(event: never) => void>>();

  // An async function passes for a listener, and its rejection would end the process.
  async function tell(listener: (event: unknown) => unknown, name: KeyEventName, event: unknown): Promise<void> {
    try {
      await listener(event);
    } catch (error) {
      logger.error(`A listener of ${name} threw ${error instanceof Error ? error.name : typeof error}`);
    }
  }

  return {
    emit(name, event) {
      for (const listener of listeners.get(name) ?? []) void tell(listener as (event: unknown) => unknown, name, event);
    },
    on(name, listener) {
      if (!Object.hasOwn(names, name)) {
        throw new TypeError(`There is no event "${String(name)}"; the events are ${Object.keys(names).join(', ')}`);
      }
      if (typeof listener !== 'function') throw new TypeError(`The listener of ${name} must be a function`);
      const ofName = listeners.get(name) ?? new Set();
      listeners.set(name, ofName);
      ofName.add(listener);
      return () => ofName.delete(listener);
    },
    has: (name) => (listeners.get(name)?.size ?? 0) > 0,
  };
}
