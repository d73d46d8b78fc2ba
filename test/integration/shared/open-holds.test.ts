import assert from 'node:assert/strict';
import { createVirtualKeys, type VirtualKeys } from '../../../lib/index.ts';
import type { Hold } from '../../../lib/stores/store.ts';
import { admittedHold, call, createKey, spend, testLog } from '../../support/service.ts';
import { type SharedStore, sharedStores } from '../../support/shared-stores.ts';

for (const [name, open] of sharedStores) {
  describe(`Changes on ${name} while calls are open`, () => {
    let shared: SharedStore;
    /** Two processes: one has the calls, the other one makes the changes. */
    let caller: VirtualKeys;
    let operator: VirtualKeys;

    beforeEach(async () => {
      shared = await open();
      [caller, operator] = [serviceOn(shared), serviceOn(shared)];
    });

    afterEach(async () => {
      await Promise.all([caller.close(), operator.close()]);
      await shared.close();
    });

    const serviceOn = (place: SharedStore) => createVirtualKeys({ store: place.connect(), logger: testLog() });
    const hold = async (keyId: string, costUsd: number) =>
      admittedHold(await caller.admit(call(keyId, { costUsd, tokens: 10 })));
    const settle = (of: Hold, costUsd: number) => caller.settle(of, { inputTokens: 1, costUsd });

    async function refusedBy(keyId: string, costUsd: number): Promise<string | undefined> {
      const result = await caller.admit(call(keyId, { costUsd }));
      if (!result.admitted) return `${result.scope} ${result.limitName}`;
      await caller.cancel(result.hold);
      return undefined;
    }

    /** How much of the limits of this scope is used, by their names. */
    async function usedOf(keyId: string, scope: string): Promise<object> {
      const { limits } = await operator.balance(keyId);
      return Object.fromEntries(
        limits.filter((limit) => limit.scope === scope).map((limit) => [limit.name, limit.used]),
      );
    }

    it('of the period of a budget, back and forth, free neither what was spent nor what is held', async () => {
      const { key } = await createKey({ keys: operator }, { maxBudget: 1, budgetDuration: '1d' });
      await spend(caller, key.id, 0.3);
      const before = await hold(key.id, 0.2);
      for (const budgetDuration of ['1mo', '1d', '30d', null, '7d', '1d', '1mo']) {
        await operator.update(key.id, { budgetDuration });
        const { spend: spent, held } = await operator.balance(key.id);
        assert.deepEqual([spent, held], [0.3, 0.2], `${budgetDuration}`);
        assert.match((await refusedBy(key.id, 0.51)) ?? '', /^key \w+_budget$/);
        assert.equal(await refusedBy(key.id, 0.5), undefined);
      }
      const after = await hold(key.id, 0.5);
      await operator.update(key.id, { budgetDuration: '1d' });
      assert.equal((await settle(before, 0.25)).state, 'settled');
      assert.equal((await settle(after, 0.1)).state, 'settled');
      assert.equal((await settle(after, 0.1)).state, 'already');
      const { spend: spent, held, openRequests } = await operator.balance(key.id);
      assert.deepEqual([spent, held, openRequests], [0.65, 0, 0]);
      assert.equal((await operator.usage({ keyId: key.id })).totals.costUsd, 0.65);
    });

    it('of its spend, which is reset, leave what is held, and what it costs counts in full', async () => {
      const { key } = await createKey({ keys: operator }, { maxBudget: 1 });
      await spend(caller, key.id, 0.6);
      const held = await hold(key.id, 0.4);
      assert.equal((await operator.resetSpend(key.id)).spend, 0);
      assert.equal(await refusedBy(key.id, 0.61), 'key total_budget');
      await settle(held, 0.45);
      const { spend: spent, held: left } = await operator.balance(key.id);
      assert.deepEqual([spent, left], [0.45, 0]);
    });

    it('of a key that is deleted end none, and what they cost counts for its team', async () => {
      await operator.setPolicy({ team: 'red' }, { maxBudget: 1, maxParallelRequests: 2 });
      const { key } = await createKey({ keys: operator }, { teamId: 'red' });
      const { key: other } = await createKey({ keys: operator }, { teamId: 'red' });
      const held = await hold(key.id, 0.4);
      await operator.delete(key.id);
      const refused = await caller.admit(call(key.id));
      assert.deepEqual([refused.admitted, !refused.admitted && refused.reason], [false, 'key']);
      assert.deepEqual(await usedOf(other.id, 'team'), { total_budget: 0.4, parallel: 1 });
      assert.equal(await refusedBy(other.id, 0.61), 'team total_budget');
      assert.equal((await settle(held, 0.3)).state, 'settled');
      assert.deepEqual(await usedOf(other.id, 'team'), { total_budget: 0.3, parallel: 0 });
      assert.equal((await operator.usage({ teamId: 'red' })).totals.costUsd, 0.3);
    });

    it('of the team of a key leave open calls with the one that they were made for', async () => {
      for (const team of ['red', 'blue']) {
        await operator.setPolicy({ team }, { maxBudget: 1, maxParallelRequests: 1, tpmLimit: 100 });
      }
      const { key } = await createKey({ keys: operator }, { teamId: 'red' });
      const { key: red } = await createKey({ keys: operator }, { teamId: 'red' });
      const held = await hold(key.id, 0.4);
      await operator.update(key.id, { teamId: 'blue' });
      assert.deepEqual(await usedOf(red.id, 'team'), { total_budget: 0.4, parallel: 1, tpm: 10 });
      assert.deepEqual(await usedOf(key.id, 'team'), { total_budget: 0, parallel: 0, tpm: 0 });
      const later = await hold(key.id, 0.2);
      assert.equal(await refusedBy(key.id, 0), 'team parallel');
      assert.equal((await settle(held, 0.5)).state, 'settled');
      assert.equal((await settle(later, 0.1)).state, 'settled');
      assert.deepEqual(await usedOf(red.id, 'team'), { total_budget: 0.5, parallel: 0, tpm: 1 });
      assert.deepEqual(await usedOf(key.id, 'team'), { total_budget: 0.1, parallel: 0, tpm: 1 });
      const ofTeam = async (teamId: string) => (await operator.usage({ teamId })).totals.costUsd;
      assert.deepEqual([await ofTeam('red'), await ofTeam('blue')], [0.5, 0.1]);
    });
  });
}
