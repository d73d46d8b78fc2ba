import { InvalidRequestError, KeyNotFoundError } from '../errors.ts';
import { usd } from '../usage/money.ts';
import type { UsageEvent } from '../usage/usage.ts';
import type { ServiceContext } from './service-context.ts';
import { shownUsageEvent } from './settlements.ts';
import { parseUsage, problemsOfName } from './usage-input.ts';
import type { VirtualKeys } from './virtual-keys.ts';

/** Adds usage that was measured elsewhere to the record of a key and to every budget over it, once for each id. */
export function createExternalUsage(context: ServiceContext): VirtualKeys['recordUsage'] {
  const { store, principals, pricing, events, now, withDeadline } = context;

  return async (input) => {
    const problems = [...problemsOfName('id', input.id), ...problemsOfName('keyId', input.keyId)];
    if (problems.length > 0) throw new InvalidRequestError(problems);
    const { usage, model, costNanoUsd } = parseUsage(input);
    const atMs = moment(input.at, now());
    const principal = await principals.findById(input.keyId);
    if (principal === undefined) throw new KeyNotFoundError();

    const priced = costNanoUsd ?? pricing.costNanoUsd([model], usage);
    if (priced === null && model !== null) events.emit('usage.unpriced', { keyId: input.keyId, model });
    const { ownerId, teamId } = principal.key;
    const event: UsageEvent = {
      ...usage,
      holdId: `external:${input.id}`,
      callId: '',
      keyId: input.keyId,
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
    const { state } = await withDeadline(store.record(event, principal.planFor(model, atMs)));
    if (state === 'recorded') events.emit('usage.recorded', shownUsageEvent(event));
    return { state, costUsd: usd(event.costNanoUsd) };
  };
}

function moment(at: string | number | Date | undefined, nowMs: number): number {
  if (at === undefined) return nowMs;
  const atMs = new Date(at).getTime();
  if (Number.isFinite(atMs) && atMs >= 0 && atMs <= nowMs) return atMs;
  throw new InvalidRequestError([{ field: 'at', message: 'must be a moment in the past' }]);
}
