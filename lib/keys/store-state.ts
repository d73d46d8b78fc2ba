import { type Circuit, createCircuit } from '../stores/circuit.ts';
import type { WithDeadline } from '../stores/deadline.ts';
import { failureReason } from '../stores/failure-reason.ts';
import type { Logger } from '../stores/store.ts';
import type { Events } from './events.ts';

/** Whether the store answers, learned from the calls to it. A combined store may lose either of its roles. */
export interface StoreState {
  readonly records: Circuit;
  readonly ledger: Circuit;
}

export interface StoreStateOptions {
  readonly name: string;
  readonly now: () => number;
  readonly withDeadline: WithDeadline;
  readonly events: Pick<Events, 'emit'>;
  readonly logger: Logger;
  /** The ledger answers again. */
  readonly onLedgerUp: () => void;
}

/** Tells once when a store goes down, and once when it is back. */
export function createStoreState(options: StoreStateOptions): StoreState {
  const { name, now, withDeadline, events, logger, onLedgerUp } = options;
  let isDown = false;

  const records = createCircuit({ now, withDeadline, onChange: tell });
  const ledger = createCircuit({
    now,
    withDeadline,
    onChange(error) {
      if (ledger.failingSinceMs() === null) onLedgerUp();
      tell(error);
    },
  });

  function tell(error?: unknown): void {
    const isFailing = records.failingSinceMs() !== null || ledger.failingSinceMs() !== null;
    if (isFailing === isDown) return;
    isDown = isFailing;
    if (!isDown) {
      events.emit('store.up', { store: name });
      logger.warn(`The store "${name}" answers again`);
      return;
    }
    const reason = failureReason(error);
    events.emit('store.down', { store: name, reason });
    logger.error(`The store "${name}" does not answer: ${reason}`);
  }

  return { records, ledger };
}
