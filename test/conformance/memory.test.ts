import { memoryStore } from '../../lib/stores/memory/memory-store.ts';
import { combinableCases, storeCases } from '../../lib/testing/index.ts';

describe('memoryStore', () => {
  for (const { name, role, run } of storeCases) it(`${role}: ${name}`, () => run(() => memoryStore()));

  for (const { name, role, run } of combinableCases) it(`half of ${role}: ${name}`, () => run(() => memoryStore()));
});
