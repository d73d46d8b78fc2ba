import type { Logger, StoreNotice } from '../store.ts';
import type { Fences } from './fences.ts';
import type { Relay } from './relay.ts';
import { createRelayLag } from './relay-lag.ts';

const tickMs = 1000;

export interface BackgroundOptions {
  readonly fences: Fences;
  readonly relay: Relay;
  readonly maxRelayLagMs: number;
  readonly maxRelayBacklog: number;
  readonly logger: Logger;
  readonly onNotice: (notice: StoreNotice) => void;
}

/** What one half has yet to tell the other is told every second, until it is heard. */
export interface Background {
  start(): void;
  stop(): void;
}

export function createBackground(options: BackgroundOptions): Background {
  const { fences, relay, logger, onNotice, maxRelayLagMs, maxRelayBacklog } = options;
  const lag = createRelayLag({ logger, onNotice, maxLagMs: maxRelayLagMs, maxBacklog: maxRelayBacklog });
  let timer: NodeJS.Timeout | undefined;

  async function relayUsage(): Promise<void> {
    try {
      if (await relay.run()) lag.caughtUp();
      else lag.behind(performance.now(), await relay.backlog(maxRelayBacklog));
    } catch (error) {
      lag.behind(performance.now(), await relay.backlog(maxRelayBacklog), error);
    }
  }

  function tick(): void {
    // Whatever fails is tried again in a second; whether the halves answer is told by those who call them.
    fences.raisePending().catch(() => undefined);
    void relayUsage();
  }

  return {
    start() {
      timer ??= setInterval(tick, tickMs).unref();
    },
    stop() {
      clearInterval(timer);
      timer = undefined;
    },
  };
}
