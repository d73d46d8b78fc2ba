import assert from 'node:assert/strict';
import type { CombinableLedger, CombinableRecords } from '../../stores/combinable.ts';
import { type CreateStore, type Session, type StoreCase, storeCase } from './store-case.ts';

/** As {@link StoreCase}, of one half of a combined store. */
export interface CombinableCase {
  readonly name: string;
  /** Which half the store must be able to be. */
  readonly role: 'records' | 'ledger';
  run(createStore: CreateStore): Promise<void>;
}

type HalfSession<Half> = Omit<Session, 'store'> & { readonly store: Half };

const recordsMethods = ['pendingFences', 'clearFences', 'archivedUntil', 'archiveUsage'] as const;
const ledgerMethods = ['fence', 'trimUsage', 'countUsage'] as const;

export function recordsCase(
  name: string,
  body: (session: HalfSession<CombinableRecords>) => Promise<void>,
): CombinableCase {
  return halfCase('records', name, recordsMethods, body);
}

export function ledgerCase(
  name: string,
  body: (session: HalfSession<CombinableLedger>) => Promise<void>,
): CombinableCase {
  return halfCase('ledger', name, ledgerMethods, body);
}

function halfCase<Half extends CombinableRecords | CombinableLedger>(
  role: CombinableCase['role'],
  name: string,
  methods: readonly (keyof Half & string)[],
  body: (session: HalfSession<Half>) => Promise<void>,
): CombinableCase {
  const { run } = storeCase(role, name, (session) => {
    for (const method of methods) {
      assert.equal(typeof Reflect.get(session.store, method), 'function', `the store has no ${method}`);
    }
    // Its methods were just looked for.
    return body({ ...session, store: session.store as Half });
  });
  return { name, role, run };
}
