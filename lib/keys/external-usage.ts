import { InvalidRequestError, KeyNotFoundError } from '../errors.ts';
import { usd } from '../usage/money.ts';
import type { UsageEvent } from '../usage/usage.ts';
import type { Alerts } from './alerts.ts';
import { readMoment } from './moment.ts';
import type { RepeatedActs } from './repeated-acts.ts';
import type { ServiceContext } from './service-context.ts';
import { budgetsOf, shownUsageEvent } from './settlements.ts';
import { parseUsage, problemsOfName } from './usage-input.ts';
import type { VirtualKeys } from './virtual-keys.ts';

/** Adds usage that was measured elsewhere to the record of a key and to every budget over it, once for each id. */
export function createExternalUsage(
  context: ServiceContext,
  alerts: Alerts,
  acts: RepeatedActs,
): VirtualKeys['recordUsage'] {
  const { store, principals, pricing, events, now } = context;

  return async (given) => {
    if (typeof given !== 'object' || given === null) {
      throw new InvalidRequestError([{ field: 'input', message: 'must be an object such as { id, keyId, model }' }]);
    }
    const { id, keyId, at, ...measured } = given;
    const problems = [...problemsOfName('id', id ?? ''), ...problemsOfName('keyId', keyId ?? '')];
    if (problems.length > 0) throw new InvalidRequestError(problems);
    const { usage, model, costNanoUsd } = parseUsage(measured);
    const atMs = moment(at, now());
    const principal = await principals.findById(keyId, true);
    if (principal === undefined) throw new KeyNotFoundError();

    const priced = costNanoUsd ?? pricing.costNanoUsd([model], usage);
    const { ownerId, teamId } = principal.key;
    const event: UsageEvent = {
      ...usage,
      holdId: `external:${id}`,
      callId: '',
      keyId,
      ownerId,
      teamId,
      model,
      endpoint: null,
      source: 'external',
      requests: 1,
      costNanoUsd: priced ?? 0,
      atMs,
      trace: null,
    };
    // A plan without a model has no budgets, and what was spent counts whatever it was spent on.
    const plan = principal.planFor(model ?? '', atMs);
    const { state } = await acts.ask({
      name: event.holdId,
      send: () => store.record(event, plan),
      isDoneNow: (recorded) => recorded.state === 'recorded',
      hear(recorded, isNews) {
        if (!isNews) return;
        if (recorded.state === 'recorded') alerts.onCharged(keyId, recorded.charged);
        else alerts.onChargedUnheard(keyId, budgetsOf(plan.takes));
        if (priced === null && model !== null) {
          alerts.onCall('usage.unpriced', event);
          events.emit('usage.unpriced', { keyId, model });
        }
        events.emit('usage.recorded', shownUsageEvent(event));
      },
    });
    return { state, costUsd: usd(event.costNanoUsd) };
  };
}

function moment(at: string | number | Date | undefined, nowMs: number): number {
  if (at === undefined) return nowMs;
  const atMs = readMoment(at);
  if (atMs !== undefined && atMs <= nowMs) return atMs;
  throw new InvalidRequestError([
    { field: 'at', message: 'must be a moment in the past: ISO 8601 with a time zone, epoch milliseconds or a Date' },
  ]);
}
