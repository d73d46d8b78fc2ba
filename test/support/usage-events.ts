import type { ShownUsageEvent } from '../../lib/keys/events.ts';
import type { VirtualKeys } from '../../lib/keys/virtual-keys.ts';
import { eventually } from './eventually.ts';

export interface UsageLog {
  readonly events: readonly ShownUsageEvent[];
  /** Why usage was estimated, once for each call that was. */
  readonly problems: readonly string[];
  /** The events, once there are so many. */
  until(count: number): Promise<readonly ShownUsageEvent[]>;
}

/** Everything that a service charges from now on. */
export function usageLog(keys: VirtualKeys): UsageLog {
  const events: ShownUsageEvent[] = [];
  const problems: string[] = [];
  keys.on('usage.recorded', (event) => events.push(event));
  keys.on('usage.estimated', ({ problem }) => problems.push(problem));
  return {
    events,
    problems,
    async until(count) {
      await eventually(() => events.length >= count, `Charge ${count}`);
      return events;
    },
  };
}

/** What of an event is told by the call alone. */
export function charge({ model, inputTokens, outputTokens, costUsd, source }: ShownUsageEvent) {
  return { model, inputTokens, outputTokens, costUsd, source };
}
