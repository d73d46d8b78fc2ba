import type { AuditEntry, Logger, StoreNotice } from '../store.ts';
import type { Fences } from './fences.ts';
import type { Relay } from './relay.ts';
import { createRelayLag } from './relay-lag.ts';

const tickMs = 1000;
const maxAuditEntries = 1000;

export interface BackgroundOptions {
  readonly fences: Fences;
  readonly relay: Relay;
  readonly maxRelayLagMs: number;
  readonly logger: Logger;
  readonly onNotice: (notice: StoreNotice) => void;
  readonly appendAudit: (entry: AuditEntry) => Promise<void>;
}

/** What one half has yet to tell the other is told every second, until it is heard. */
export interface Background {
  start(): void;
  stop(): void;
  /** Keeps an entry of what the ledger has done; later, where the records do not answer. */
  audit(entry: AuditEntry): Promise<void>;
}

export function createBackground(options: BackgroundOptions): Background {
  const { fences, relay, logger, onNotice, appendAudit } = options;
  const lag = createRelayLag({ logger, onNotice, maxLagMs: options.maxRelayLagMs });
  const unwritten: AuditEntry[] = [];
  let timer: NodeJS.Timeout | undefined;

  async function relayUsage(): Promise<void> {
    try {
      if (await relay.run()) lag.caughtUp();
      else lag.behind(performance.now());
    } catch (error) {
      lag.behind(performance.now(), error);
    }
  }

  async function writeAudit(): Promise<void> {
    for (let entry = unwritten[0]; entry !== undefined; entry = unwritten[0]) {
      await appendAudit(entry);
      unwritten.shift();
    }
  }

  function tick(): void {
    // Whatever fails is tried again in a second; whether the halves answer is told by those who call them.
    fences.raisePending().catch(() => undefined);
    writeAudit().catch(() => undefined);
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
    async audit(entry) {
      try {
        await appendAudit(entry);
      } catch {
        if (unwritten.length < maxAuditEntries) unwritten.push(entry);
        else logger.error(`An audit entry is lost: ${entry.action} of ${entry.target}`);
      }
    },
  };
}
