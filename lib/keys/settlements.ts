import type { WithDeadline } from '../stores/deadline.ts';
import type { Answer, Hold, SettleResult, Store } from '../stores/store.ts';
import type { Pricing } from '../usage/cost.ts';
import { usd } from '../usage/money.ts';
import type { TokenUsage, UsageEvent, UsageSource } from '../usage/usage.ts';
import type { Events, ShownUsageEvent } from './events.ts';
import type { Retries } from './retries.ts';

/** What a call consumed, as far as it is known. */
export interface Consumption {
  readonly usage: TokenUsage;
  /** As the answer named it; the price of the model asked for stands in where this one has none. */
  readonly model: string | null;
  /** Given by whoever measured it; `null`: priced here. */
  readonly costNanoUsd: number | null;
  readonly source: UsageSource;
  /** Why the usage is not what the provider reported. */
  readonly problem?: string | undefined;
}

/** Ends calls exactly once each, also when the store is out of reach for a while. */
export interface Settlements {
  settle(hold: Hold, consumption: Consumption): Promise<SettleResult>;
  cancel(hold: Hold): Promise<void>;
  renew(hold: Hold): Promise<'renewed' | 'ended'>;
}

export interface SettlementsOptions {
  readonly store: Store;
  readonly pricing: Pricing;
  readonly events: Events;
  readonly retries: Retries;
  readonly withDeadline: WithDeadline;
}

export function createSettlements(options: SettlementsOptions): Settlements {
  const { store, pricing, events, retries, withDeadline } = options;

  function answered<T>(answer: Answer<T>): Answer<T> {
    return answer instanceof Promise ? withDeadline(answer) : answer;
  }

  function tell(result: SettleResult, { problem }: Consumption, isUnpriced: boolean): void {
    const { event, state } = result;
    if (event === null) return;
    if (isUnpriced) events.emit('usage.unpriced', { keyId: event.keyId, model: event.model });
    if (problem !== undefined) events.emit('usage.estimated', { ...shownUsageEvent(event), problem });
    if (state === 'lost_hold') events.emit('hold.lost', shownUsageEvent(event));
    if (events.has('usage.recorded')) events.emit('usage.recorded', shownUsageEvent(event));
  }

  return {
    async settle(hold, consumption) {
      const { usage, model, source } = consumption;
      const asked = hold.subject.model;
      const priced = consumption.costNanoUsd ?? pricing.costNanoUsd([model, asked], usage);
      const isUnpriced = priced === null && (model ?? asked) !== null;
      const request = { hold, usage, costNanoUsd: priced ?? 0, source, model: asked ?? model };
      return retries.run(async () => {
        const result = await answered(store.settle(request));
        tell(result, consumption, isUnpriced);
        return result;
      });
    },
    async cancel(hold) {
      await retries.run(() => answered(store.cancel(hold)));
    },
    async renew(hold) {
      return (await answered(store.renew(hold))).state;
    },
  };
}

export function shownUsageEvent(event: UsageEvent): ShownUsageEvent {
  const { costNanoUsd, atMs, requests: _, ...shown } = event;
  return { ...shown, costUsd: usd(costNanoUsd), at: new Date(atMs).toISOString() };
}
