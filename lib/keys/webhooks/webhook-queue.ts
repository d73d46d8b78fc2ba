import type { Logger } from '../../stores/store.ts';
import type { Scheduler } from './scheduler.ts';
import type { WebhookTarget } from './webhook-options.ts';
import type { PostWebhook, WebhookMessage } from './webhook-request.ts';

const maxPending = 1000;
const firstDelayMs = 1000;
const longestDelayMs = 15 * 60_000;
const giveUpAfterMs = 24 * 3_600_000;
/** The answer of a target that wants nothing any more. */
const gone = 410;

interface Delivery extends WebhookMessage {
  readonly giveUpAtMs: number;
  attempts: number;
  dueAtMs: number;
}

/** What waits for one target, posted one by one until it is taken: at least once while the process lives. */
export interface WebhookQueue {
  push(message: WebhookMessage): void;
  state(): { readonly pending: number; readonly dropped: number; readonly isFailing: boolean };
  /** Resolves when everything was tried that had not been yet, or after the time-out. What still waits is dropped. */
  close(timeoutMs: number): Promise<void>;
}

export interface WebhookQueueOptions {
  readonly target: WebhookTarget;
  readonly post: PostWebhook;
  readonly scheduler: Scheduler;
  readonly logger: Logger;
  /** From 0 to 1. */
  readonly random: () => number;
}

export function createWebhookQueue({ target, post, scheduler, logger, random }: WebhookQueueOptions): WebhookQueue {
  // Paths and queries of webhooks are often secrets themselves.
  const name = `The webhook of ${target.url.host}`;
  const waiting = new Set<Delivery>();
  const leaving = new AbortController();
  let underWay: Delivery | undefined;
  let cancelTimer: (() => void) | undefined;
  let onIdle: (() => void) | undefined;
  let state: 'open' | 'closing' | 'gone' | 'closed' = 'open';
  let dropped = 0;
  let isFailing = false;
  let hasToldOfDrops = false;

  function drop(count: number, why: string): void {
    if (count === 0) return;
    dropped += count;
    if (!hasToldOfDrops) logger.error(`${name} ${why}; alerts for it are dropped and counted in health()`);
    hasToldOfDrops = true;
  }

  function dropAll(why: string): void {
    const count = waiting.size;
    waiting.clear();
    drop(count, why);
  }

  function next(): Delivery | undefined {
    let earliest: Delivery | undefined;
    for (const delivery of waiting) {
      if (state === 'closing' && delivery.attempts > 0) continue;
      if (earliest === undefined || delivery.dueAtMs < earliest.dueAtMs) earliest = delivery;
    }
    return earliest;
  }

  function pump(): void {
    cancelTimer?.();
    cancelTimer = undefined;
    if (underWay !== undefined) return;
    const delivery = next();
    if (delivery === undefined) {
      onIdle?.();
      return;
    }
    const waitMs = delivery.dueAtMs - scheduler.now();
    if (waitMs > 0) {
      cancelTimer = scheduler.after(waitMs, pump);
      return;
    }
    underWay = delivery;
    waiting.delete(delivery);
    void attempt(delivery).then(() => {
      underWay = undefined;
      pump();
    });
  }

  async function attempt(delivery: Delivery): Promise<void> {
    const outcome = await post(target, delivery, leaving.signal).catch(reasonOf);
    if (state === 'closed') return;
    if (typeof outcome === 'number' && outcome >= 200 && outcome < 300) {
      isFailing = false;
      hasToldOfDrops = false;
      return;
    }
    const reason = typeof outcome === 'number' ? `answers ${outcome}` : outcome;
    if (outcome === gone) giveTargetUp(reason);
    else tryLater(delivery, reason);
  }

  function giveTargetUp(reason: string): void {
    state = 'gone';
    isFailing = true;
    drop(1, `${reason} and is given up`);
    dropAll(reason);
  }

  function tryLater(delivery: Delivery, reason: string): void {
    if (!isFailing) logger.warn(`${name} ${reason}; what it does not take is posted again for 24 hours`);
    isFailing = true;
    const nowMs = scheduler.now();
    if (nowMs >= delivery.giveUpAtMs) {
      drop(1, `has failed for 24 hours`);
      return;
    }
    const delayMs = Math.min(firstDelayMs * 2 ** delivery.attempts, longestDelayMs);
    delivery.attempts += 1;
    // Between half of the delay and the whole: many that failed at once don't come back at once.
    delivery.dueAtMs = Math.min(nowMs + delayMs * (0.5 + random() / 2), delivery.giveUpAtMs);
    waiting.add(delivery);
  }

  function pending(): number {
    return waiting.size + (underWay === undefined ? 0 : 1);
  }

  return {
    push({ id, body }) {
      if (state === 'gone') return drop(1, 'was given up');
      if (pending() >= maxPending) return drop(1, `has ${maxPending} alerts waiting`);
      const nowMs = scheduler.now();
      waiting.add({ id, body, giveUpAtMs: nowMs + giveUpAfterMs, attempts: 0, dueAtMs: nowMs });
      pump();
    },
    state: () => ({ pending: pending(), dropped, isFailing }),
    async close(timeoutMs) {
      if (state === 'open') state = 'closing';
      let cancelTimeout = () => {};
      await new Promise<void>((resolve) => {
        onIdle = resolve;
        cancelTimeout = scheduler.after(timeoutMs, resolve);
        pump();
      });
      cancelTimeout();
      state = 'closed';
      const left = pending();
      waiting.clear();
      leaving.abort();
      drop(left, 'is left while the service closes');
    },
  };
}

/** Why there is no answer: a code, since messages may tell addresses and names. */
function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EPRIVATE') return 'is at a private address';
  return `cannot be reached (${typeof code === 'string' ? code : 'no answer'})`;
}
