import type { CombinableLedger, CombinableRecords } from '../../lib/stores/combinable.ts';
import { memoryStore } from '../../lib/stores/memory/memory-store.ts';
import type { Store } from '../../lib/stores/store.ts';

/** `fail`: throws, and has done nothing; `lose_reply`: does it, then throws; `hang`: never answers, and does nothing. */
export type Fault = 'fail' | 'lose_reply' | 'hang';

type Method = Exclude<keyof (CombinableRecords & CombinableLedger), 'name' | 'open' | 'close'>;

export interface FaultyStore<S extends Store = Store> {
  readonly store: S;
  /** From now on these methods fail so; without names, all of them. */
  break(fault: Fault, ...methods: readonly Method[]): void;
  mend(): void;
  /** Names of the methods that were called while they were broken. */
  readonly failed: readonly Method[];
}

/** A store that answers as it should, over promises as a remote one does, until it is told to fail. */
export function faultyStore(): FaultyStore<CombinableRecords & CombinableLedger>;
export function faultyStore<S extends Store>(inner: S): FaultyStore<S>;
export function faultyStore(inner: Store = memoryStore()): FaultyStore {
  const failed: Method[] = [];
  let fault: Fault | undefined;
  let broken: readonly Method[] = [];

  function faulty(method: Method): (...args: never[]) => Promise<unknown> {
    return async (...args) => {
      const act = () => (Reflect.get(inner, method) as (...given: never[]) => unknown)(...args);
      if (fault === undefined || (broken.length > 0 && !broken.includes(method))) return act();
      failed.push(method);
      if (fault === 'hang') return new Promise(() => undefined);
      if (fault === 'lose_reply') await act();
      throw new Error(`connect ECONNREFUSED at ${method}`);
    };
  }

  const methods = Object.keys(inner).filter((name): name is Method => !['name', 'open', 'close'].includes(name));
  return {
    // Each method is there again, with the signature it had.
    store: { ...inner, ...(Object.fromEntries(methods.map((name) => [name, faulty(name)])) as Partial<Store>) },
    break(next, ...names) {
      fault = next;
      broken = names;
    },
    mend() {
      fault = undefined;
    },
    failed,
  };
}
