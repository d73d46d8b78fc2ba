import assert from 'node:assert/strict';
import { type Report, slowestCalls, timedStore } from '../../../examples/custom-store.ts';
import { createVirtualKeys } from '../../../lib/keys/create-virtual-keys.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { storeCases } from '../../../lib/testing/index.ts';
import { faultyStore } from '../../support/faulty-store.ts';

describe('examples/custom-store.ts', () => {
  for (const { name, role, run } of storeCases) {
    it(`${role}: ${name}`, () => run(() => timedStore(memoryStore(), () => undefined)));
  }

  it('times the calls of a service', async () => {
    const { store, slowest } = slowestCalls();
    const keys = createVirtualKeys({ store });
    const { key } = await keys.create({ name: 'Test', models: ['*'] });
    await keys.admit({ keyId: key.id, model: 'gpt-4o', tokens: 1 });
    assert.deepEqual([slowest.has('insertKey'), slowest.has('admit'), slowest.has('settle')], [true, true, false]);
    await keys.close();
    assert.equal((await keys.health()).store.name, 'timed memory');
  });

  it('tells of calls that fail, and lets them fail', async () => {
    const calls: Parameters<Report>[0][] = [];
    const faulty = faultyStore();
    const store = timedStore(faulty.store, (call) => calls.push(call));
    faulty.break('fail', 'ping');
    await assert.rejects(store.ping(), /ECONNREFUSED/);
    assert.deepEqual(
      calls.map(({ method, failed }) => [method, failed]),
      [['ping', true]],
    );
  });
});
