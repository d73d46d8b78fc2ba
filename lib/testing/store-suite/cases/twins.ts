import assert from 'node:assert/strict';
import type { TwinRow } from '../../../stores/store.ts';
import { type StoreCase, storeCase } from '../store-case.ts';

export const twinCases: readonly StoreCase[] = [
  storeCase('records', 'a twin is stored as given, also for a key that is not there', async ({ store }) => {
    const row = sampleTwin({
      keyId: 'a "quoted" key 🔑',
      details: { list: [], map: {}, nested: [{ text: 'ünï', number: 1.5, none: null }], big: 2 ** 53 - 1 },
    });
    assert.deepEqual(await store.putTwin(row), { outcome: 'stored' });
    assert.deepEqual(await store.findTwins([row.keyId, 'other']), [row]);
    assert.deepEqual(await store.findTwins([]), []);
  }),

  storeCase('records', 'of writers who saw the same version of a twin one wins', async ({ store }) => {
    const first = sampleTwin({});
    const inserted = await Promise.all([1, 2, 3].map((by) => store.putTwin({ ...first, details: { by } })));
    assert.equal(inserted.filter(({ outcome }) => outcome === 'stored').length, 1);
    const second = { ...first, version: 2 };
    const replaced = await Promise.all([1, 2, 3].map((by) => store.putTwin({ ...second, details: { by } })));
    assert.equal(replaced.filter(({ outcome }) => outcome === 'stored').length, 1);
    assert.deepEqual(await store.putTwin({ ...first, version: 4 }), { outcome: 'version_conflict' });
    assert.equal((await store.findTwins(['a']))[0]?.version, 2);
  }),

  storeCase('records', 'a twin is removed in the version that was seen, and may come again', async ({ store }) => {
    await store.putTwin(sampleTwin({}));
    await store.putTwin(sampleTwin({ version: 2 }));
    assert.deepEqual(await store.removeTwin('a', 1), { outcome: 'version_conflict' });
    assert.deepEqual(await store.removeTwin('a', 2), { outcome: 'removed' });
    assert.deepEqual(await store.removeTwin('a', 2), { outcome: 'version_conflict' });
    assert.deepEqual(await store.findTwins(['a']), []);
    assert.deepEqual(await store.putTwin(sampleTwin({})), { outcome: 'stored' });
  }),

  storeCase('records', 'twins are counted by state', async ({ store }) => {
    await store.putTwin(sampleTwin({ keyId: 'a' }));
    await store.putTwin(sampleTwin({ keyId: 'b', state: 'synced' }));
    await store.putTwin(sampleTwin({ keyId: 'c', state: 'orphaned' }));
    await store.putTwin(sampleTwin({ keyId: 'a', state: 'synced', version: 2 }));
    await store.putTwin(sampleTwin({ keyId: 'd', state: 'error' }));
    await store.removeTwin('d', 1);
    assert.deepEqual(await store.countTwins(), { pending: 0, synced: 2, error: 0, orphaned: 1 });
  }),
];

function sampleTwin(fields: Partial<TwinRow>): TwinRow {
  return { keyId: 'a', state: 'pending', details: {}, version: 1, ...fields };
}
