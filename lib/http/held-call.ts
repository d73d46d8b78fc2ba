import { StoreUnavailableError } from '../errors.ts';
import type { Internals } from '../keys/internals.ts';
import type { Consumption } from '../keys/settlements.ts';
import { inBackground, whenAnswered } from '../stores/answered.ts';
import type { Answer, Hold } from '../stores/store.ts';
import type { TokenUsage } from '../usage/usage.ts';
import { createTimerWheel, type TimerWheel } from './timer-wheel.ts';

/** The hold of one request, from its admission to its one end. */
export interface HeldCall {
  readonly hold: Hold;
  /** What the request was estimated to consume. */
  readonly estimate: TokenUsage;
  /** `recordUsage` watches the response and will end the call; otherwise it is charged by its estimate. */
  isMetered: boolean;
  /** Bytes of the answer have come. */
  readonly onProgress: () => void;
  /** Charges the call. Only the first of all endings counts. */
  settle(consumption: Consumption): void;
  /** Charges what was estimated, and tells why. */
  settleByEstimate(problem: string, source?: 'estimated' | 'partial'): void;
  /** Gives everything back: the call consumed nothing. */
  cancel(): void;
}

const renewalsPerLease = 4;
const renewals = new WeakMap<Internals, TimerWheel>();

/** One timer for all calls of a service: most calls end long before their first renewal. */
function renewalsOf(service: Internals): TimerWheel {
  let wheel = renewals.get(service);
  if (wheel === undefined) {
    wheel = createTimerWheel(service.options.leaseMs / renewalsPerLease);
    renewals.set(service, wheel);
  }
  return wheel;
}

/**
 * Keeps the lease of a hold alive until the call is settled or cancelled, whichever comes first.
 *
 * @param maxIdleLeases for so many leases it is renewed without progress; an answer that nobody reads ends by its lease
 */
export function createHeldCall(
  service: Internals,
  hold: Hold,
  estimate: TokenUsage,
  maxIdleLeases = Infinity,
): HeldCall {
  const { settlements, options } = service;
  let ended = false;
  let idleRenewals = 0;

  const stopRenewing = renewalsOf(service).repeat(() => {
    idleRenewals += 1;
    if (idleRenewals > maxIdleLeases * renewalsPerLease) return stopRenewing();
    // The lease is longer than an outage that a request survives; the next renewal may succeed.
    inBackground(() =>
      whenAnswered(settlements.renew(hold), (state) => {
        if (state === 'ended') stopRenewing();
      }),
    );
  });

  function end(act: () => Answer<unknown>): void {
    if (ended) return;
    ended = true;
    stopRenewing();
    inBackground(act, (error) => {
      // That the store is out of reach was told once; the settlements themselves try again, and tell what they give up.
      if (error instanceof StoreUnavailableError) return;
      options.logger.warn(`A call could not be settled: ${error instanceof Error ? error.message : error}`);
    });
  }

  const call: HeldCall = {
    hold,
    estimate,
    isMetered: false,
    onProgress() {
      idleRenewals = 0;
    },
    settle: (consumption) => end(() => settlements.settle(hold, consumption)),
    settleByEstimate(problem, source = 'estimated') {
      call.settle({
        usage: estimate,
        model: null,
        costNanoUsd: hold.amounts.costNanoUsd,
        source,
        problem,
      });
    },
    cancel: () => end(() => settlements.cancel(hold)),
  };
  return call;
}
