import { memoryStore } from '../../lib/stores/memory/memory-store.ts';
import { storeCases } from '../../lib/testing/index.ts';

describe('memoryStore', () => {
  for (const { name, role, run } of storeCases) it(`${role}: ${name}`, () => run(() => memoryStore()));
});
