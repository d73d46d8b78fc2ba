import assert from 'node:assert/strict';
import { createVirtualKeys, type VirtualKeys } from '../../../lib/index.ts';
import { admittedHold, admittedOf, call, createKey, storeWith, testLog } from '../../support/service.ts';
import { type SharedStore, sharedStores } from '../../support/shared-stores.ts';

const hourMs = 3_600_000;

for (const [name, open] of sharedStores) {
  describe(`Processes on ${name} with clocks an hour ahead and behind`, () => {
    let shared: SharedStore;
    let processes: readonly VirtualKeys[];

    beforeEach(async () => {
      shared = await open();
      processes = [0, hourMs, -hourMs].map((aheadMs) => {
        const store = shared.connect();
        // The clock of the service alone: that of the store is the server's, as it is in a process whose own is wrong.
        const unclocked = storeWith(store, {
          open: ({ logger, onNotice }) => store.open({ logger, onNotice }),
        });
        return createVirtualKeys({ store: unclocked, clock: () => Date.now() + aheadMs, logger: testLog() });
      });
    });

    afterEach(async () => {
      await Promise.all(processes.map((keys) => keys.close()));
      await shared.close();
    });

    const one = () => processes[0] ?? assert.fail();
    const each = <T>(times: number, act: (keys: VirtualKeys) => Promise<T>) =>
      processes.flatMap((keys) => Array.from({ length: times }, () => act(keys)));

    for (const budgetDuration of ['15m', '1d', '1mo']) {
      it(`admit together what a ${budgetDuration} budget has room for, and charge one period`, async () => {
        const { key } = await createKey({ keys: one() }, { maxBudget: 5, budgetDuration });
        const results = await Promise.all(each(10, (keys) => keys.admit(call(key.id, { costUsd: 0.5 }))));
        const holds = results.flatMap((result) => (result.admitted ? [result.hold] : []));
        assert.equal(holds.length, 10);
        const settled = await Promise.all(
          holds.map((hold, at) => (processes[at % 3] ?? one()).settle(hold, { inputTokens: 1, costUsd: 0.25 })),
        );
        assert.deepEqual(new Set(settled.map(({ state }) => state)), new Set(['settled']));
        const { spend, held, openRequests } = await one().balance(key.id);
        assert.deepEqual([spend, held, openRequests], [2.5, 0, 0]);
        assert.equal(await admittedOf(each(10, (keys) => keys.admit(call(key.id, { costUsd: 0.5 })))), 5);
      });
    }

    it('admit together what a window has room for', async () => {
      const { key } = await createKey({ keys: one() }, { rpmLimit: 10 });
      assert.equal(await admittedOf(each(10, (keys) => keys.admit(call(key.id)))), 10);
    });

    it('end no lease of each other before its time', async () => {
      const { key } = await createKey({ keys: one() }, { maxParallelRequests: 3 });
      const holds = (await Promise.all(each(1, (keys) => keys.admit(call(key.id))))).map(admittedHold);
      assert.equal(await admittedOf(each(1, (keys) => keys.admit(call(key.id)))), 0);
      const renewed = await Promise.all(holds.map((hold, at) => processes[(at + 1) % 3]?.renew(hold)));
      assert.deepEqual(
        renewed,
        holds.map(() => ({ state: 'renewed' })),
      );
    });

    it('hear of a revocation by each of them at once', async () => {
      for (const revoker of processes) {
        const { key } = await createKey({ keys: one() });
        assert.equal(await admittedOf(each(1, (keys) => keys.admit(call(key.id)))), 3);
        await revoker.revoke(key.id);
        assert.equal(await admittedOf(each(3, (keys) => keys.admit(call(key.id)))), 0);
      }
    });
  });
}
