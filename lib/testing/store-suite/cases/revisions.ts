import assert from 'node:assert/strict';
import { anyNumber, nextVersion, sampleChange, sampleKey } from '../sample-records.ts';
import { type StoreCase, storeCase } from '../store-case.ts';
import { hourMs } from '../test-clock.ts';

export const revisionCases: readonly StoreCase[] = [
  storeCase(
    'records',
    'the revision follows the clock, and rises by one when that stands or steps back',
    async (session) => {
      const { store, clock } = session;
      const key = sampleKey(clock.now());
      const startMs = clock.now();
      const revisions: (number | undefined)[] = [];
      const note = async () => revisions.push((await store.findKey(key.id))?.revision);
      await store.insertKey(key, sampleChange(), anyNumber);
      await note();
      const second = nextVersion(key, { rpmLimit: 1 });
      await store.updateKey(second, sampleChange(), anyNumber);
      await note();
      clock.advance(-hourMs);
      const third = nextVersion(second, { rpmLimit: 2 });
      await store.updateKey(third, sampleChange(), anyNumber);
      await note();
      clock.set(startMs + 7);
      await store.updateKey(nextVersion(third, { rpmLimit: 3 }), sampleChange(), anyNumber);
      await note();
      const first = startMs * 1000;
      assert.deepEqual(revisions, [first, first + 1, first + 2, first + 7000]);
    },
  ),

  storeCase('records', 'a change that does not matter for admission leaves the revision', async ({ store, clock }) => {
    const key = sampleKey(clock.now());
    await store.insertKey(key, sampleChange(), anyNumber);
    const before = await store.findKey(key.id);
    clock.advance(hourMs);
    const renamed = nextVersion(key, { name: 'Renamed', revision: 1 });
    await store.updateKey(renamed, sampleChange({ fence: false }), anyNumber);
    assert.equal((await store.findKey(key.id))?.revision, before?.revision);
  }),
];
