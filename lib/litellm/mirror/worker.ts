import type { ClaimedRow, Logger, Store } from '../../stores/store.ts';
import type { LiteLLMClient } from '../client/client.ts';
import type { Looked, SyncKey } from './sync-key.ts';

export interface WorkerOptions {
  readonly store: Store;
  readonly client: LiteLLMClient;
  readonly now: () => number;
  readonly syncKey: SyncKey;
  /** How long a key belongs to the process that looks at it. */
  readonly leaseMs: number;
  readonly logger: Logger;
}

/** Looks at the keys that the outbox names, a few at once, shared with the workers of other processes. */
export interface Worker {
  start(): void;
  /** Resolves when the keys that are being looked at are done. */
  stop(): Promise<void>;
  /** There is something to do now. */
  wake(): void;
  /** Resolves when nothing that is due waits, here or in another process. */
  flush(): Promise<void>;
  /** Looks at a key now, unless another process does; `undefined`: it has no row that is due. */
  look(keyId: string): Promise<Looked | undefined>;
}

const atOnce = 8;
const pollMs = 1000;
const flushPollMs = 25;
const firstPauseMs = 1000;
const longestPauseMs = 5 * 60_000;

export function createWorker({ store, client, now, syncKey, leaseMs, logger }: WorkerOptions): Worker {
  let isRunning = false;
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> | undefined;
  let isWoken = false;

  async function handle(row: ClaimedRow, sendUntilMs: number): Promise<Looked> {
    const looked = await syncKey(row.keyId, client.keysUntil(sendUntilMs), row.attempts);
    if (looked.outcome === 'overtaken') await store.deferOutbox(row, 0);
    else if (looked.outcome === 'failed') await store.deferOutbox(row, pauseMs(row.attempts));
    else if (row.isTakenOver) await store.deferOutbox(row, leaseMs + client.timeoutMs);
    else if (looked.againAtMs !== null) await store.deferOutbox(row, Math.max(0, looked.againAtMs - now()));
    else await store.clearOutbox([row]);
    return looked;
  }

  /** The lease may have begun as early as when it was asked for; a request must have ended before it does. */
  async function claim(limit: number, keyIds?: readonly string[]): Promise<() => Promise<readonly Looked[]>> {
    const sendUntilMs = performance.now() + leaseMs - client.timeoutMs;
    const rows = await store.claimOutbox(limit, leaseMs, keyIds);
    return () => Promise.all(rows.map((row) => handle(row, sendUntilMs)));
  }

  async function workOff(): Promise<void> {
    for (;;) {
      const looked = await (await claim(atOnce))();
      if (looked.length === 0) return;
    }
  }

  /** One after another, however many ask. */
  function work(): Promise<void> {
    working ??= workOff().finally(() => {
      working = undefined;
    });
    return working;
  }

  async function run(): Promise<void> {
    isWoken = false;
    try {
      await work();
    } catch (error) {
      // What was claimed comes again when its lease ends.
      logger.error(`The mirror could not go on: ${error instanceof Error ? error.message : typeof error}`);
    }
    if (isRunning) schedule(isWoken ? 0 : pollMs);
  }

  function schedule(delayMs: number): void {
    clearTimeout(timer);
    timer = setTimeout(() => void run(), delayMs);
    timer.unref();
  }

  return {
    start() {
      if (isRunning) return;
      isRunning = true;
      schedule(0);
    },
    async stop() {
      isRunning = false;
      clearTimeout(timer);
      await working?.catch(() => undefined);
    },
    wake() {
      isWoken = true;
      if (isRunning && working === undefined) schedule(0);
    },
    async flush() {
      for (;;) {
        await work();
        const { due, claimed } = await store.outboxBacklog();
        if (due === 0 && claimed === 0) return;
        if (due === 0) await new Promise((resolve) => setTimeout(resolve, flushPollMs));
      }
    },
    async look(keyId) {
      const [looked] = await (await claim(1, [keyId]))();
      return looked;
    },
  };
}

/** Doubles up to five minutes, and is spread so that many keys do not come at once. */
function pauseMs(attempts: number): number {
  const pause = Math.min(firstPauseMs * 2 ** (attempts - 1), longestPauseMs);
  return Math.round(pause * (0.5 + Math.random() / 2));
}
