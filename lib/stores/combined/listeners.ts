import type { Clock, Logger, StoreEnvironment, StoreNotice } from '../store.ts';

/** Those who opened a store, spoken to as one. */
export interface Listeners {
  /** Whether it is the first one. */
  add(environment: StoreEnvironment): boolean;
  /** Whether nobody is left. */
  remove(environment: StoreEnvironment): boolean;
  readonly logger: Logger;
  readonly onNotice: (notice: StoreNotice) => void;
  readonly now: Clock;
}

export function createListeners(): Listeners {
  const environments = new Set<StoreEnvironment>();
  let clock: Clock = Date.now;
  return {
    add(environment) {
      environments.add(environment);
      clock = environment.clock ?? clock;
      return environments.size === 1;
    },
    remove(environment) {
      environments.delete(environment);
      return environments.size === 0;
    },
    logger: {
      warn(message) {
        for (const { logger } of environments) logger.warn(message);
      },
      error(message) {
        for (const { logger } of environments) logger.error(message);
      },
    },
    onNotice(notice) {
      for (const environment of environments) environment.onNotice(notice);
    },
    now: () => clock(),
  };
}
