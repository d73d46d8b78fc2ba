import { isLlmKeysError } from '../../errors.ts';
import type { ClaimedRow, Logger } from '../../stores/store.ts';
import type { LiteLLMClient } from '../client/client.ts';
import type { MirrorStore } from './mirror-store.ts';
import type { Looked, SyncKey } from './sync-key.ts';

export interface WorkerOptions {
  readonly store: MirrorStore;
  readonly client: LiteLLMClient;
  readonly syncKey: SyncKey;
  /** How long a key belongs to the process that looks at it. */
  readonly leaseMs: number;
  readonly logger: Logger;
}

/** Looks at the keys that the outbox names, a few at once, shared with the workers of other processes. */
export interface Worker {
  start(): void;
  /** Resolves when the keys that are being looked at are done; no other one is begun. */
  stop(): Promise<void>;
  /** There is something to do now. */
  wake(): void;
  /** Resolves when nothing that is due waits, here or in another process. @throws Error where the worker is stopped first */
  flush(): Promise<void>;
  /** Looks at a key now, unless another process does; `undefined`: it has no row that is due. */
  look(keyId: string): Promise<Looked | undefined>;
}

interface Claimed {
  readonly row: ClaimedRow;
  readonly sendUntilMs: number;
}

const atOnce = 8;
const pollMs = 1000;
const flushPollMs = 25;
const firstPauseMs = 1000;
const longestPauseMs = 5 * 60_000;
/** What is to be closed must not wait long when LiteLLM is back. */
const longestOutagePauseMs = 15_000;

export function createWorker({ store, client, syncKey, leaseMs, logger }: WorkerOptions): Worker {
  let isRunning = false;
  let stops = 0;
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> | undefined;
  let isWoken = false;
  let onWoken = (): void => undefined;
  const looks = new Set<Promise<unknown>>();

  /** The lease may have begun as early as when it was asked for; a request must have ended before it does. */
  async function claim(limit: number, keyIds?: readonly string[]): Promise<readonly Claimed[]> {
    const sendUntilMs = performance.now() + leaseMs - client.timeoutMs;
    return (await store.claimOutbox(limit, leaseMs, keyIds)).map((row) => ({ row, sendUntilMs }));
  }

  async function lookAt({ row, sendUntilMs }: Claimed): Promise<Looked> {
    // What the worker before this one has sent may still be carried out.
    let isUnsettled = row.isTakenOver;
    const onUnanswered = () => {
      isUnsettled = true;
    };
    const looked = await syncKey(row.keyId, client.keysUntil(sendUntilMs, { onUnanswered }), {
      attempts: row.attempts,
      isUnsettled: () => isUnsettled,
    });
    switch (looked.outcome) {
      case 'overtaken':
        // Whoever overtook us may hold the row, and cannot know what we have sent.
        await store.enqueueOutbox([row.keyId], 0);
        await store.deferOutbox(row, 0);
        break;
      case 'failed':
        await store.deferOutbox(row, pauseMs(row.attempts, looked.isDown ? longestOutagePauseMs : longestPauseMs));
        break;
      case 'done':
        if (looked.againInMs === null) await store.clearOutbox([row]);
        else await store.deferOutbox(row, looked.againInMs);
    }
    return looked;
  }

  /** One key that cannot be looked at holds up no other. */
  async function handle(claimed: Claimed): Promise<Looked> {
    const look = lookAt(claimed);
    looks.add(look);
    try {
      return await look;
    } catch (error) {
      // It comes again when its lease ends.
      complain(error);
      return { outcome: 'failed', isDown: false };
    } finally {
      looks.delete(look);
    }
  }

  async function workOff(): Promise<void> {
    const begun = stops;
    const lanes = new Set<Promise<unknown>>();
    try {
      while (begun === stops) {
        const claimed = lanes.size === atOnce ? [] : await claim(atOnce - lanes.size);
        for (const each of claimed) {
          const lane: Promise<unknown> = handle(each).finally(() => lanes.delete(lane));
          lanes.add(lane);
        }
        if (lanes.size === 0) return;
        await Promise.race([...lanes, woken()]);
      }
    } finally {
      await Promise.all(lanes);
    }
  }

  /** When there is something new to do: told here, or found by looking again. */
  function woken(): Promise<void> {
    onWoken();
    return new Promise((resolve) => {
      const poll = setTimeout(resolve, pollMs);
      onWoken = () => {
        clearTimeout(poll);
        resolve();
      };
    });
  }

  /** One after another, however many ask. */
  function work(): Promise<void> {
    working ??= workOff().finally(() => {
      working = undefined;
      onWoken();
    });
    return working;
  }

  async function run(): Promise<void> {
    isWoken = false;
    // What was claimed comes again when its lease ends.
    await work().catch(complain);
    if (isRunning) schedule(isWoken ? 0 : pollMs);
  }

  function complain(error: unknown): void {
    const reason = isLlmKeysError(error) ? error.message : error instanceof Error ? error.name : typeof error;
    logger.error(`The mirror could not go on: ${reason}`);
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
      stops += 1;
      clearTimeout(timer);
      onWoken();
      await working?.catch(() => undefined);
      await Promise.allSettled(looks);
    },
    wake() {
      isWoken = true;
      onWoken();
      if (isRunning && working === undefined) schedule(0);
    },
    async flush() {
      const begun = stops;
      while (begun === stops) {
        await work();
        const { due, claimed } = await store.outboxBacklog();
        if (due === 0 && claimed === 0) return;
        await new Promise((resolve) => setTimeout(resolve, flushPollMs));
      }
      throw new Error('The mirror was stopped before all that waits was done');
    },
    async look(keyId) {
      const [claimed] = await claim(1, [keyId]);
      return claimed === undefined ? undefined : handle(claimed);
    },
  };
}

/** Doubles, and is spread so that many keys do not come at once. */
function pauseMs(attempts: number, longestMs: number): number {
  const pause = Math.min(firstPauseMs * 2 ** (attempts - 1), longestMs);
  return Math.round(pause * (0.5 + Math.random() / 2));
}
