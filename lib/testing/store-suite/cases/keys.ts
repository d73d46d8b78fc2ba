import assert from 'node:assert/strict';
import { concurrently } from '../concurrent.ts';
import { anyNumber, nextVersion, sampleChange, sampleKey } from '../sample-records.ts';
import { type StoreCase, storeCase } from '../store-case.ts';
import { minuteMs } from '../test-clock.ts';

export const keyCases: readonly StoreCase[] = [
  storeCase('records', 'a key is found by its id and by its hash as it was stored', async ({ store, clock }) => {
    const key = sampleKey(clock.now(), {
      name: 'Größe "7"',
      ownerId: 'ann',
      teamId: 'red',
      models: ['gpt-4o*', 'claude-sonnet-4'],
      endpoints: ['/v1/chat/*'],
      permissions: { allowChatCompletions: true, allowEmbeddings: false, allowCompletions: true },
      rateLimitEnabled: false,
      tags: ['a', 'b'],
      metadata: { note: 'ä', nested: { list: [1, null, true] } },
      rpmLimit: 0,
      tpmLimit: 5,
      maxParallelRequests: 3,
      maxTokensPerRequest: 100,
      maxBudgetNanoUsd: 8_999_999_999_999_999,
      softBudgetNanoUsd: 1,
      budgetDuration: 'monthly',
      budgets: [{ maxBudgetNanoUsd: 7, budgetDuration: '1mo' }],
      modelLimits: [{ model: 'gpt-4o*', rpmLimit: 1, tpmLimit: null, maxBudget: null }],
      expiresAtMs: clock.now() + minuteMs,
    });
    const inserted = await store.insertKey(key, sampleChange(), anyNumber);
    assert.equal(inserted.outcome, 'inserted');
    const found = await store.findKey(key.id);
    assert.deepEqual(found, { ...key, revision: clock.now() * 1000 });
    assert.deepEqual(inserted, { outcome: 'inserted', record: found });
    assert.deepEqual(await store.findKeyByHash(['other', key.secretHash]), found);
  }),

  storeCase('records', 'an unknown key is not found', async ({ store }) => {
    assert.equal(await store.findKey('nobody'), undefined);
    assert.equal(await store.findKeyByHash(['nothing']), undefined);
    assert.equal(await store.findKeyByHash([]), undefined);
  }),

  storeCase(
    'records',
    'a key with the id, the alias or the secret of another is not stored',
    async ({ store, clock }) => {
      const key = sampleKey(clock.now());
      await store.insertKey(key, sampleChange(), anyNumber);
      const insert = (fields: Partial<typeof key>) =>
        store.insertKey(sampleKey(clock.now(), fields), sampleChange(), anyNumber);
      assert.deepEqual(await insert({ id: key.id, alias: 'free', secretHash: 'free' }), { outcome: 'id_taken' });
      assert.deepEqual(await insert({ alias: key.alias }), { outcome: 'alias_taken' });
      assert.deepEqual(await insert({ secretHash: key.secretHash }), { outcome: 'secret_taken' });
      assert.equal((await store.listKeys({}, { limit: 10 })).total, 1);
    },
  ),

  storeCase('records', 'of concurrent keys with one alias only one is stored', async ({ store, clock }) => {
    const outcomes = await concurrently(10, () =>
      store.insertKey(sampleKey(clock.now(), { alias: 'same' }), sampleChange(), anyNumber),
    );
    assert.equal(outcomes.filter(({ outcome }) => outcome === 'inserted').length, 1);
    assert.equal(outcomes.filter(({ outcome }) => outcome === 'alias_taken').length, 9);
  }),

  storeCase('records', 'an update replaces a key and keeps when it was created', async ({ store, clock }) => {
    const key = sampleKey(clock.now());
    await store.insertKey(key, sampleChange(), anyNumber);
    clock.advance(minuteMs);
    const changed = nextVersion(key, { name: 'Renamed', alias: 'Renamed_1', rpmLimit: 5, createdAtMs: 1 });
    const updated = await store.updateKey(changed, sampleChange(), anyNumber);
    const found = await store.findKey(key.id);
    assert.deepEqual(found, { ...changed, createdAtMs: key.createdAtMs, revision: clock.now() * 1000 });
    assert.deepEqual(updated, { outcome: 'updated', record: found });
  }),

  storeCase('records', 'of two writers with one version the second is told the version that is', async (session) => {
    const { store, clock } = session;
    const key = sampleKey(clock.now());
    await store.insertKey(key, sampleChange(), anyNumber);
    const outcomes = await concurrently(20, (index) =>
      store.updateKey(nextVersion(key, { name: `Writer ${index}` }), sampleChange(), anyNumber),
    );
    assert.equal(outcomes.filter(({ outcome }) => outcome === 'updated').length, 1);
    const conflict = { outcome: 'version_conflict', version: 2 } as const;
    for (const outcome of outcomes) if (outcome.outcome !== 'updated') assert.deepEqual(outcome, conflict);
    assert.equal((await store.findKey(key.id))?.version, 2);
    assert.deepEqual(await store.deleteKey(key.id, 1, sampleChange()), conflict);
  }),

  storeCase('records', 'an update of a missing key, or to a taken alias, changes nothing', async ({ store, clock }) => {
    const key = sampleKey(clock.now());
    const other = sampleKey(clock.now());
    await store.insertKey(key, sampleChange(), anyNumber);
    await store.insertKey(other, sampleChange(), anyNumber);
    const before = await store.findKey(key.id);
    const missing = nextVersion(sampleKey(clock.now()), {});
    assert.deepEqual(await store.updateKey(missing, sampleChange(), anyNumber), { outcome: 'not_found' });
    const taking = nextVersion(key, { alias: other.alias });
    assert.deepEqual(await store.updateKey(taking, sampleChange(), anyNumber), { outcome: 'alias_taken' });
    assert.deepEqual(await store.findKey(key.id), before);
    assert.deepEqual(await store.deleteKey(missing.id, 1, sampleChange()), { outcome: 'not_found' });
  }),

  storeCase('records', 'an alias that was given up may be taken', async ({ store, clock }) => {
    const key = sampleKey(clock.now(), { alias: 'first' });
    await store.insertKey(key, sampleChange(), anyNumber);
    await store.updateKey(nextVersion(key, { alias: 'second' }), sampleChange(), anyNumber);
    const next = await store.insertKey(sampleKey(clock.now(), { alias: 'first' }), sampleChange(), anyNumber);
    assert.equal(next.outcome, 'inserted');
  }),

  storeCase('records', 'a rotated key is found by both secrets until the earlier one is dropped', async (session) => {
    const { store, clock } = session;
    const key = sampleKey(clock.now(), { secretHash: 'one' });
    await store.insertKey(key, sampleChange(), anyNumber);
    const previousSecret = { secretHash: 'one', endsAtMs: clock.now() + minuteMs };
    const rotated = nextVersion(key, { secretHash: 'two', previousSecret });
    await store.updateKey(rotated, sampleChange(), anyNumber);
    assert.equal((await store.findKeyByHash(['one']))?.id, key.id);
    assert.deepEqual((await store.findKeyByHash(['two']))?.previousSecret, previousSecret);
    const next = nextVersion(rotated, {
      secretHash: 'three',
      previousSecret: { ...previousSecret, secretHash: 'two' },
    });
    await store.updateKey(next, sampleChange(), anyNumber);
    assert.equal(await store.findKeyByHash(['one']), undefined);
    assert.equal((await store.findKeyByHash(['two']))?.id, key.id);
    assert.equal((await store.findKeyByHash(['three']))?.id, key.id);
  }),

  storeCase('records', 'a deleted key is gone, and its alias and secret are free', async ({ store, clock }) => {
    const key = sampleKey(clock.now(), { alias: 'first', secretHash: 'one' });
    await store.insertKey(key, sampleChange(), anyNumber);
    assert.deepEqual(await store.deleteKey(key.id, 1, sampleChange()), { outcome: 'updated', record: null });
    assert.equal(await store.findKey(key.id), undefined);
    assert.equal(await store.findKeyByHash(['one']), undefined);
    assert.deepEqual(await store.deleteKey(key.id, 1, sampleChange()), { outcome: 'not_found' });
    const next = sampleKey(clock.now(), { alias: 'first', secretHash: 'one' });
    assert.equal((await store.insertKey(next, sampleChange(), anyNumber)).outcome, 'inserted');
  }),

  storeCase('records', 'the last use of a key moves forward only, and never its version', async ({ store, clock }) => {
    const key = sampleKey(clock.now());
    await store.insertKey(key, sampleChange(), anyNumber);
    const lastUse = async () => {
      const found = await store.findKey(key.id);
      return { lastUsedAtMs: found?.lastUsedAtMs, version: found?.version };
    };
    await store.touchKey(key.id, 5000);
    assert.deepEqual(await lastUse(), { lastUsedAtMs: 5000, version: 1 });
    await store.touchKey(key.id, 4000);
    assert.deepEqual(await lastUse(), { lastUsedAtMs: 5000, version: 1 });
    await store.updateKey(nextVersion(key, { lastUsedAtMs: null }), sampleChange(), anyNumber);
    assert.deepEqual(await lastUse(), { lastUsedAtMs: 5000, version: 2 });
    await store.touchKey('nobody', 5000);
    assert.equal(await store.findKey('nobody'), undefined);
  }),
];
