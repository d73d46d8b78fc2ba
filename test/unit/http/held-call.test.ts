import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { createHeldCall } from '../../../lib/http/held-call.ts';
import { internalsOf } from '../../../lib/keys/internals.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { noTokens } from '../../../lib/usage/usage.ts';
import { admittedHold, call, createKey, storeWith, testService } from '../../support/service.ts';

describe('createHeldCall', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
  afterEach(() => mock.timers.reset());

  const leaseMs = 1000;

  /** In small steps: a mocked timer that a callback sets waits for the next one. */
  function advance(leases: number): void {
    for (let step = 0; step < leases * 32; step += 1) mock.timers.tick(leaseMs / 32);
  }

  async function setUp(maxIdleLeases?: number) {
    const working = memoryStore();
    const seen = { renewals: 0 };
    const store = storeWith(working, {
      renew(hold) {
        seen.renewals += 1;
        return working.renew(hold);
      },
    });
    const service = testService({ store, leaseMs });
    const { key } = await createKey(service);
    const hold = admittedHold(await service.keys.admit(call(key.id)));
    const held = createHeldCall(internalsOf('test', service.keys), hold, noTokens, maxIdleLeases);
    return { ...service, keyId: key.id, held, seen };
  }

  it('is renewed four times a lease, until it ends', async () => {
    const { held, seen } = await setUp();
    advance(5);
    assert.equal(seen.renewals, 20);
    held.cancel();
    advance(1);
    assert.equal(seen.renewals, 20);
  });

  it('is renewed no longer when nobody has read of it for so many leases', async () => {
    const { held, seen } = await setUp(2);
    advance(1.5);
    held.onProgress();
    advance(10);
    assert.equal(seen.renewals, 6 + 8);
  });

  it('ends once, by whichever end comes first', async () => {
    const { keys, keyId, held } = await setUp();
    const events: string[] = [];
    keys.on('usage.recorded', ({ source }) => events.push(source));
    held.settleByEstimate('broken_off', 'partial');
    held.cancel();
    held.settle({ usage: noTokens, model: null, costNanoUsd: 5, source: 'reported' });
    assert.equal((await keys.balance(keyId)).openRequests, 0);
    assert.deepEqual(events, ['partial']);
  });
});
