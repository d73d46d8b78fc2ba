import type { Take } from '../limits/limit.ts';
import { inBackground, whenAnswered } from '../stores/answered.ts';
import type { Circuit } from '../stores/circuit.ts';
import type { Answer, Hold, SettleRequest, SettleResult, Store } from '../stores/store.ts';
import type { Pricing } from '../usage/cost.ts';
import { usd } from '../usage/money.ts';
import type { TokenUsage, UsageEvent, UsageSource } from '../usage/usage.ts';
import type { Alerts, BudgetName } from './alerts.ts';
import type { Events, ShownUsageEvent } from './events.ts';
import type { LocalLedger } from './local-ledger.ts';
import type { NamedAct, RepeatedActs } from './repeated-acts.ts';
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
  settle(hold: Hold, consumption: Consumption): Answer<SettleResult>;
  cancel(hold: Hold): Answer<void>;
  /** Cancels, in the background, an admission whose answer did not come. */
  giveUp(hold: Hold): void;
  renew(hold: Hold): Answer<'renewed' | 'ended'>;
}

export interface SettlementsOptions {
  readonly store: Store;
  readonly pricing: Pricing;
  readonly events: Events;
  readonly alerts: Alerts;
  readonly retries: Retries;
  readonly circuit: Circuit;
  readonly acts: RepeatedActs;
  readonly localLedger: LocalLedger;
  readonly now: () => number;
  /** A call has ended here, whether or not the store has heard of it. */
  readonly onEnded: () => void;
}

/** A settlement that has been made, and what only those who asked for it know. */
interface Settled {
  readonly request: SettleRequest;
  /** `already`, without an event: the answer that had it was lost. */
  readonly result: SettleResult;
  readonly problem: string | undefined;
  readonly isUnpriced: boolean;
  readonly wasAdmittedHere: boolean;
}

export function createSettlements(options: SettlementsOptions): Settlements {
  const { store, pricing, events, alerts, retries, circuit, acts, localLedger, now, onEnded } = options;

  function tell(settled: Settled): void {
    const { request, result, problem, isUnpriced, wasAdmittedHere } = settled;
    const { state, charged } = result;
    const event = result.event ?? eventOf(request);
    if (result.event === null) alerts.onChargedUnheard(event.keyId, budgetsOf(request.hold.takes));
    else alerts.onCharged(event.keyId, charged);
    if (isUnpriced) {
      alerts.onCall('usage.unpriced', event);
      events.emit('usage.unpriced', { keyId: event.keyId, model: event.model });
    }
    if (problem !== undefined) events.emit('usage.estimated', { ...shownUsageEvent(event), problem });
    if (state === 'lost_hold' && !wasAdmittedHere) {
      alerts.onCall('hold.lost', event);
      events.emit('hold.lost', shownUsageEvent(event));
    }
    if (events.has('usage.recorded')) events.emit('usage.recorded', shownUsageEvent(event));
  }

  function cancelInStore(hold: Hold): Answer<unknown> {
    return retries.run(() => circuit.insist(() => store.cancel(hold)));
  }

  return {
    settle(hold, consumption) {
      const { usage, model, source } = consumption;
      const asked = hold.subject.model;
      const priced = consumption.costNanoUsd ?? pricing.costNanoUsd([model, asked], usage);
      const isUnpriced = priced === null && (model ?? asked) !== null;
      const request = { hold, usage, costNanoUsd: priced ?? 0, source, model: asked ?? model };
      const tokens = usage.inputTokens + usage.outputTokens;
      localLedger.end(hold, { tokens, costNanoUsd: request.costNanoUsd }, now());
      const { problem } = consumption;
      const act: NamedAct<SettleResult> = {
        name: `${hold.holdId}/${hold.callId}`,
        send: () => store.settle(request),
        isDoneNow: ({ event }) => event !== null,
        hear(result, isNews) {
          const wasAdmittedHere = localLedger.has(hold.holdId);
          localLedger.forget(hold.holdId);
          onEnded();
          if (isNews) tell({ request, result, problem, isUnpriced, wasAdmittedHere });
        },
      };
      return retries.run(
        () => acts.ask(act),
        () => {
          localLedger.forget(hold.holdId);
          events.emit('usage.lost', shownUsageEvent(eventOf(request)));
        },
      );
    },
    cancel(hold) {
      localLedger.end(hold, { tokens: 0, costNanoUsd: 0 }, now());
      if (localLedger.has(hold.holdId)) {
        // The store has never heard of the call, and need not.
        localLedger.forget(hold.holdId);
        return;
      }
      return whenAnswered(cancelInStore(hold), onEnded);
    },
    giveUp(hold) {
      inBackground(() => cancelInStore(hold));
    },
    renew: (hold) =>
      whenAnswered(
        circuit.insist(() => store.renew(hold)),
        ({ state }) => state,
      ),
  };
}

/** What the usage record says of a settlement, where no answer of the store tells. */
function eventOf({ hold, usage, costNanoUsd, source, model }: SettleRequest): UsageEvent {
  const { holdId, callId, subject, atMs, trace } = hold;
  return { ...subject, ...usage, holdId, callId, model, source, requests: 1, costNanoUsd, atMs, trace };
}

export function budgetsOf(takes: readonly Take[]): readonly BudgetName[] {
  return takes.flatMap(({ measure, scopeId, id, periodStartMs }) =>
    measure === 'budget' ? [{ scopeId, budgetId: id, periodStartMs }] : [],
  );
}

export function shownUsageEvent(event: UsageEvent): ShownUsageEvent {
  const { costNanoUsd, atMs, requests: _, ...shown } = event;
  return { ...shown, costUsd: usd(costNanoUsd), at: new Date(atMs).toISOString() };
}
