import assert from 'node:assert/strict';
import type { AdmitResult } from '../../../lib/keys/direct-admissions.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import type { Store } from '../../../lib/stores/store.ts';
import { admittedHold, call, createKey, storeWith, testService, withoutNotices } from '../../support/service.ts';

/** A service that counts how often its store is asked to admit; `later`: over a promise, as a remote store does. */
function countingService({ later = false, cacheMs = 10_000 } = {}) {
  const inner = memoryStore();
  let asked = 0;
  const store: Store = storeWith(inner, {
    admit(request) {
      asked += 1;
      const verdict = inner.admit(request);
      return later ? Promise.resolve(verdict) : verdict;
    },
  });
  const service = testService({ store, cacheMs });
  return {
    ...service,
    askedSince() {
      const since = asked;
      asked = 0;
      return since;
    },
  };
}

function refusal(result: AdmitResult) {
  assert.ok(!result.admitted, 'it was admitted');
  return [result.limitName, result.retryAfterMs];
}

describe('createVirtualKeys: refusals that are repeated', () => {
  it('repeats a refusal by a request window without the store, with the wait that is left', async () => {
    const { keys, clock, askedSince } = countingService();
    const { key } = await createKey({ keys }, { rpmLimit: 1 });
    await keys.admit(call(key.id));
    assert.deepEqual(refusal(await keys.admit(call(key.id))), ['rpm', 61_000]);
    assert.equal(askedSince(), 2);
    clock.advance(9999);
    assert.deepEqual(refusal(await keys.admit(call(key.id))), ['rpm', 51_001]);
    assert.equal(askedSince(), 0);
  });

  it('asks the store again after cacheMs, and admits when the wait is over and not before', async () => {
    const { keys, clock, askedSince } = countingService({ cacheMs: 3_600_000 });
    const { key } = await createKey({ keys }, { rpmLimit: 1 });
    await keys.admit(call(key.id));
    const [, retryAfterMs] = refusal(await keys.admit(call(key.id)));
    askedSince();
    clock.advance(Number(retryAfterMs) - 1);
    assert.deepEqual(refusal(await keys.admit(call(key.id))), ['rpm', 1]);
    assert.equal(askedSince(), 0);
    clock.advance(1);
    assert.equal((await keys.admit(call(key.id))).admitted, true);
  });

  it('asks the store each time when nothing is cached, and for limits that no wait will help', async () => {
    for (const [cacheMs, rpmLimit] of [
      [0, 1],
      [10_000, 0],
    ] as const) {
      const { keys, askedSince } = countingService({ cacheMs });
      const { key } = await createKey({ keys }, { rpmLimit });
      await keys.admit(call(key.id));
      await keys.admit(call(key.id));
      askedSince();
      refusal(await keys.admit(call(key.id)));
      assert.equal(askedSince(), 1);
    }
  });

  it('forgets a refusal at once when a limit over the key is changed', async () => {
    const { keys } = countingService();
    const { key } = await createKey({ keys }, { rpmLimit: 1, teamId: 'red' });
    await keys.setPolicy({ team: 'red' }, { rpmLimit: 3 });
    await keys.admit(call(key.id));
    refusal(await keys.admit(call(key.id)));
    await keys.update(key.id, { rpmLimit: 9 });
    assert.equal((await keys.admit(call(key.id))).admitted, true);
    await keys.admit(call(key.id));
    assert.deepEqual(refusal(await keys.admit(call(key.id)))[0], 'rpm');
    await keys.setPolicy({ team: 'red' }, { rpmLimit: 9 });
    assert.equal((await keys.admit(call(key.id))).admitted, true);
  });

  it('lets no key in that was revoked where nobody heard of it, though it refuses by the limit for a while', async () => {
    const store = withoutNotices(memoryStore());
    const [first, second] = [testService({ store }), testService({ store })];
    const { key } = await createKey(first, { rpmLimit: 1 });
    await second.keys.admit(call(key.id));
    refusal(await second.keys.admit(call(key.id)));
    await first.keys.revoke(key.id);
    assert.equal((await second.keys.admit(call(key.id))).admitted, false);
  });

  it('tells larger requests what the store tells them', async () => {
    const { keys } = countingService();
    const { key } = await createKey({ keys }, { rpmLimit: 1, tpdLimit: 10 });
    await keys.admit(call(key.id, { tokens: 5 }));
    assert.deepEqual(refusal(await keys.admit(call(key.id))), ['rpm', 61_000]);
    const [limitName] = refusal(await keys.admit(call(key.id, { tokens: 6 })));
    assert.equal(limitName, 'tpd');
  });

  it('repeats a refusal by tokens or slots of a remote store for 100 ms, unless a call has ended here', async () => {
    for (const [fields, limitName] of [
      [{ maxParallelRequests: 1 }, 'parallel'],
      [{ tpmLimit: 1 }, 'tpm'],
    ] as const) {
      const { keys, clock, askedSince } = countingService({ later: true });
      const { key } = await createKey({ keys }, fields);
      const hold = admittedHold(await keys.admit(call(key.id)));
      assert.equal(refusal(await keys.admit(call(key.id)))[0], limitName);
      askedSince();
      clock.advance(99);
      assert.equal(refusal(await keys.admit(call(key.id)))[0], limitName);
      assert.equal(askedSince(), 0);
      clock.advance(1);
      refusal(await keys.admit(call(key.id)));
      assert.equal(askedSince(), 1);
      await keys.cancel(hold);
      assert.equal((await keys.admit(call(key.id))).admitted, true);
    }
  });

  it('asks a store that answers at once about tokens, slots and money each time', async () => {
    for (const fields of [{ maxParallelRequests: 1 }, { tpmLimit: 1 }, { maxBudget: 1 }]) {
      const { keys, askedSince } = countingService();
      const { key } = await createKey({ keys }, fields);
      await keys.admit(call(key.id, { costUsd: 1 }));
      refusal(await keys.admit(call(key.id, { costUsd: 1 })));
      refusal(await keys.admit(call(key.id, { costUsd: 1 })));
      assert.equal(askedSince(), 3);
    }
  });

  it('never repeats a refusal by a budget', async () => {
    const { keys, askedSince } = countingService({ later: true });
    const { key } = await createKey({ keys }, { maxBudget: 1 });
    await keys.admit(call(key.id, { costUsd: 1 }));
    refusal(await keys.admit(call(key.id, { costUsd: 1 })));
    refusal(await keys.admit(call(key.id, { costUsd: 1 })));
    assert.equal(askedSince(), 3);
  });
});
