import assert from 'node:assert/strict';
import { concurrently } from '../concurrent.ts';
import { nextVersion, sampleChange, samplePolicy } from '../sample-records.ts';
import { type StoreCase, storeCase } from '../store-case.ts';
import { minuteMs } from '../test-clock.ts';

export const policyCases: readonly StoreCase[] = [
  storeCase('records', 'a policy is found as it was put, by its scope alone', async ({ store, clock }) => {
    const policy = samplePolicy(clock.now(), { models: [], rpmLimit: 0, budgetDuration: '30d', maxBudgetNanoUsd: 5 });
    assert.equal(await store.findPolicy('team:red'), undefined);
    const put = await store.putPolicy('team:red', policy, sampleChange());
    const stored = { ...policy, revision: clock.now() * 1000 };
    assert.deepEqual(put, { outcome: 'updated', record: stored });
    assert.deepEqual(await store.findPolicy('team:red'), stored);
    assert.equal(await store.findPolicy('user:red'), undefined);
    assert.equal(await store.findPolicy('global'), undefined);
  }),

  storeCase('records', 'scopes with any printable name are kept apart', async ({ store, clock }) => {
    const scopes = ['user:__proto__', 'user:constructor', 'user:a:b', 'user:a', "team:o'brien %_"] as const;
    for (const [index, scopeId] of scopes.entries()) {
      await store.putPolicy(scopeId, samplePolicy(clock.now(), { rpmLimit: index }), sampleChange());
    }
    for (const [index, scopeId] of scopes.entries()) {
      assert.equal((await store.findPolicy(scopeId))?.rpmLimit, index, scopeId);
    }
  }),

  storeCase('records', 'a policy is replaced only by the next version, and keeps its anchor', async (session) => {
    const { store, clock } = session;
    const first = samplePolicy(clock.now(), { rpmLimit: 1 });
    const createdAtMs = clock.now();
    await store.putPolicy('user:ann', first, sampleChange());
    assert.deepEqual(await store.putPolicy('user:ann', first, sampleChange()), {
      outcome: 'version_conflict',
      version: 1,
    });
    clock.advance(minuteMs);
    const outcomes = await concurrently(5, () =>
      store.putPolicy('user:ann', nextVersion(first, { rpmLimit: 2, createdAtMs: clock.now() }), sampleChange()),
    );
    assert.equal(outcomes.filter(({ outcome }) => outcome === 'updated').length, 1);
    const found = await store.findPolicy('user:ann');
    assert.deepEqual({ ...found, revision: 0 }, { ...first, rpmLimit: 2, version: 2, createdAtMs, revision: 0 });
  }),

  storeCase('records', 'defaults and maximums are replaced by compare and set', async ({ store }) => {
    assert.equal(await store.findDefaults(), undefined);
    const first = { defaults: { rpmLimit: 30 }, maximums: { maxBudget: 200, models: null }, version: 1 };
    const change = sampleChange({ fence: false, audit: { action: 'defaults.updated', target: 'defaults' } });
    assert.deepEqual(await store.putDefaults(first, change), { outcome: 'updated', record: first });
    assert.deepEqual(await store.findDefaults(), first);
    const again = sampleChange({ fence: false });
    assert.deepEqual(await store.putDefaults(first, again), { outcome: 'version_conflict', version: 1 });
    const second = { defaults: {}, maximums: {}, version: 2 };
    assert.deepEqual(await store.putDefaults(second, again), { outcome: 'updated', record: second });
    assert.deepEqual(await store.findDefaults(), second);
    const { items } = await store.listAudit({ targets: ['defaults'] }, { limit: 10 });
    assert.deepEqual(
      items.map(({ action }) => action),
      ['defaults.updated'],
    );
  }),
];
