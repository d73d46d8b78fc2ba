import type { Store, StoreNotice } from '../../stores/store.ts';
import { createTestClock, type TestClock } from './test-clock.ts';

/** Makes an empty store. The case opens it with a clock of its own, and closes it. */
export type CreateStore = () => Store | Promise<Store>;

/**
 * Something that every store must do, for any test runner: it rejects with an `AssertionError` where the store does not.
 * Each case asks for one fresh store.
 */
export interface StoreCase {
  /** A sentence that is true of the store. */
  readonly name: string;
  /**
   * What the store must play for the case to make sense: `records` or `ledger` alone, or both in one `store`, where a
   * change of a record fences the ledger.
   */
  readonly role: 'records' | 'ledger' | 'store';
  run(createStore: CreateStore): Promise<void>;
}

/** What a case works with. */
export interface Session {
  readonly store: Store;
  readonly clock: TestClock;
  /** What the store has told until now. */
  readonly notices: StoreNotice[];
}

export function storeCase(role: StoreCase['role'], name: string, body: (session: Session) => Promise<void>): StoreCase {
  return {
    name,
    role,
    async run(createStore) {
      const store = await createStore();
      const clock = createTestClock();
      const notices: StoreNotice[] = [];
      const close = store.open({
        clock: clock.now,
        logger: { warn: () => undefined, error: () => undefined },
        onNotice: (notice) => notices.push(notice),
      });
      try {
        await body({ store, clock, notices });
      } finally {
        close();
        await store.close();
      }
    },
  };
}
