import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createHeldCall } from '../../../lib/http/held-call.ts';
import { internalsOf } from '../../../lib/keys/internals.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import type { Hold } from '../../../lib/stores/store.ts';
import { noTokens } from '../../../lib/usage/usage.ts';
import { eventually } from '../../support/eventually.ts';
import { admittedHold, call, createKey, storeWith, testService } from '../../support/service.ts';
import { usageLog } from '../../support/usage-events.ts';

const estimate = { ...noTokens, inputTokens: 3, outputTokens: 4 };
const leaseMs = 1000;

describe('createHeldCall', () => {
  afterEach(() => mock.timers.reset());

  async function setUp(maxIdleLeases?: number) {
    mock.timers.enable({ apis: ['setInterval'] });
    const memory = memoryStore();
    const renewals: Hold[] = [];
    const store = storeWith(memory, {
      renew: (hold) => {
        renewals.push(hold);
        return memory.renew(hold);
      },
    });
    const service = testService({ store, leaseMs });
    const { key } = await createKey(service, { maxParallelRequests: 1 });
    const hold = admittedHold(await service.keys.admit(call(key.id, { costUsd: 0.25, tokens: 7 })));
    const held = createHeldCall(internalsOf('test', service.keys), hold, estimate, maxIdleLeases);
    const usage = usageLog(service.keys);
    /** So long passes, on every clock, in the steps of renewals. */
    const pass = async (ms: number) => {
      for (let passed = 0; passed < ms; passed += leaseMs / 4) {
        service.clock.advance(leaseMs / 4);
        mock.timers.tick(leaseMs / 4);
        await turn();
      }
    };
    const openRequests = async () => (await service.keys.balance(key.id)).openRequests;
    return { ...service, key, held, usage, renewals, pass, openRequests };
  }

  it('keeps its lease for as long as it is open', async () => {
    const { pass, renewals, openRequests, usage } = await setUp();
    await pass(10 * leaseMs);
    assert.equal(renewals.length, 40);
    assert.equal(await openRequests(), 1);
    assert.deepEqual(usage.events, []);
  });

  it('renews nothing after its end, and ends once', async () => {
    const { held, pass, renewals, openRequests, usage } = await setUp();
    held.settle({ usage: estimate, model: null, costNanoUsd: 1_000_000_000, source: 'reported' });
    held.cancel();
    held.settleByEstimate('unmetered');
    await pass(2 * leaseMs);
    assert.deepEqual(renewals, []);
    assert.deepEqual(
      (await usage.until(1)).map(({ costUsd, source }) => [costUsd, source]),
      [[1, 'reported']],
    );
    assert.equal(await openRequests(), 0);
  });

  it('gives everything back when it is cancelled', async () => {
    const { held, openRequests, usage, keys, key } = await setUp();
    held.cancel();
    await eventually(async () => (await openRequests()) === 0);
    assert.deepEqual([usage.events, (await keys.get(key.id)).spend], [[], 0]);
  });

  for (const [source, expected] of [
    [undefined, 'estimated'],
    ['partial', 'partial'],
  ] as const) {
    it(`is charged by its estimate as ${expected}, and why is told`, async () => {
      const { held, usage } = await setUp();
      held.settleByEstimate('broken_off', source);
      const [event] = await usage.until(1);
      assert.deepEqual(
        [event?.inputTokens, event?.outputTokens, event?.costUsd, event?.source],
        [3, 4, 0.25, expected],
      );
      assert.deepEqual(usage.problems, ['broken_off']);
    });
  }

  it('lets its lease end without progress for as long as was said, and progress starts that anew', async () => {
    const { held, pass, renewals } = await setUp(2);
    await pass(1.5 * leaseMs);
    held.onProgress();
    await pass(10 * leaseMs);
    assert.equal(renewals.length, 6 + 8);
  });

  it('renews no more once its lease has ended elsewhere, and its settlement comes late', async () => {
    const { held, pass, clock, renewals, usage, openRequests, keys, key } = await setUp();
    clock.advance(10 * leaseMs);
    await pass(3 * leaseMs);
    assert.equal(renewals.length, 1);
    assert.deepEqual([await openRequests(), (await keys.get(key.id)).spend], [0, 0.25]);
    held.settle({ usage: estimate, model: null, costNanoUsd: 100_000_000, source: 'reported' });
    await usage.until(1);
    assert.deepEqual([await openRequests(), (await keys.get(key.id)).spend], [0, 0.1]);
  });
});
