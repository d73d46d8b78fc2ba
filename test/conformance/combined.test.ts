import { combineStores } from '../../lib/stores/combined/combine-stores.ts';
import { memoryStore } from '../../lib/stores/memory/memory-store.ts';
import { storeCases } from '../../lib/testing/index.ts';

describe('combineStores over memory and memory', () => {
  for (const { name, role, run } of storeCases) {
    it(`${role}: ${name}`, () => run(() => combineStores({ records: memoryStore(), ledger: memoryStore() })));
  }
});
