import type { Logger } from '../../stores/store.ts';
import type { ShownAlert } from '../shown-alert.ts';
import { type Scheduler, systemScheduler } from './scheduler.ts';
import { checkWebhooks, type WebhookOptions } from './webhook-options.ts';
import { createWebhookQueue } from './webhook-queue.ts';
import { createWebhookRequest, type PostWebhook } from './webhook-request.ts';

const timeoutMs = 10_000;

/** How all webhooks stand together. */
export interface WebhooksHealth {
  /** Alerts that wait to be taken. */
  readonly pending: number;
  /** Alerts that a target will never get. */
  readonly dropped: number;
  /** Targets that did not take the latest that they were given. */
  readonly failing: number;
}

/** Posts alerts to the operator's own endpoints, each signed. */
export interface Webhooks {
  post(alert: ShownAlert): void;
  health(): WebhooksHealth;
  close(timeoutMs: number): Promise<void>;
}

export interface WebhooksOptions {
  readonly webhooks: readonly WebhookOptions[];
  readonly now: () => number;
  readonly logger: Logger;
  readonly scheduler?: Scheduler | undefined;
  readonly post?: PostWebhook | undefined;
  readonly random?: (() => number) | undefined;
}

/** @throws TypeError for a webhook that is of no use, or private without being allowed to be */
export function createWebhooks(options: WebhooksOptions): Webhooks {
  const { webhooks, now, logger, scheduler = systemScheduler, random = Math.random } = options;
  const { post = createWebhookRequest({ now, timeoutMs }) } = options;
  const queues = checkWebhooks(webhooks).map((target) => ({
    target,
    queue: createWebhookQueue({ target, post, scheduler, logger, random }),
  }));

  return {
    post(alert) {
      const message = { id: alert.id, body: JSON.stringify(alert) };
      for (const { target, queue } of queues) if (target.events.has(alert.type)) queue.push(message);
    },
    health() {
      const states = queues.map(({ queue }) => queue.state());
      return {
        pending: states.reduce((sum, { pending }) => sum + pending, 0),
        dropped: states.reduce((sum, { dropped }) => sum + dropped, 0),
        failing: states.filter(({ isFailing }) => isFailing).length,
      };
    },
    async close(closingMs) {
      await Promise.all(queues.map(({ queue }) => queue.close(closingMs)));
    },
  };
}
