import assert from 'node:assert/strict';
import type { Fence } from '../../../stores/combinable.ts';
import type { BudgetCarry, Change } from '../../../stores/store.ts';
import { keyId, keyScope } from '../caller.ts';
import { type CombinableCase, recordsCase } from '../combinable-case.ts';
import { anyNumber, nextVersion, sampleChange, sampleKey, samplePolicy } from '../sample-records.ts';

const carry: BudgetCarry = {
  budgetId: 'main',
  from: { budgetId: 'main', periodStartMs: 1000 },
  periodStartMs: 2000,
  periodEndMs: 3000,
  openingNanoUsd: 7,
};

function otherLedger(fields: Parameters<typeof sampleChange>[0] = {}): Change {
  return { ...sampleChange(fields), ledger: 'other' };
}

function withoutIds(fences: readonly Fence[]): readonly Omit<Fence, 'id'>[] {
  return fences.map(({ id: _, ...fence }) => fence);
}

export const pendingFenceCases: readonly CombinableCase[] = [
  recordsCase('each change that matters leaves a fence for the other ledger, in order', async ({ store, clock }) => {
    const key = sampleKey(clock.now(), { id: keyId });
    const revision = clock.now() * 1000;
    await store.insertKey(key, otherLedger(), anyNumber);
    const tightened = nextVersion(key, { rpmLimit: 1 });
    await store.updateKey(tightened, otherLedger({ carries: [carry] }), anyNumber);
    const renamed = nextVersion(tightened, { name: 'Renamed' });
    await store.updateKey(renamed, otherLedger({ fence: false }), anyNumber);
    const policy = samplePolicy(clock.now());
    await store.putPolicy('team:red', policy, otherLedger());
    await store.putPolicy('team:red', nextVersion(policy, { rpmLimit: 2 }), otherLedger());
    await store.deleteKey(keyId, 3, otherLedger());

    const [isOld, noCarries] = [{ isNew: false, isClosed: false }, { carries: [] }];
    assert.deepEqual(withoutIds(await store.pendingFences(100)), [
      { scopeId: keyScope, revision, isNew: true, isClosed: false, carries: [] },
      { scopeId: keyScope, revision: revision + 1, ...isOld, carries: [carry] },
      { scopeId: 'team:red', revision, isNew: true, isClosed: false, carries: [] },
      { scopeId: 'team:red', revision: revision + 1, ...isOld, ...noCarries },
      { scopeId: keyScope, revision: revision + 2, isNew: false, isClosed: true, ...noCarries },
    ]);
  }),

  recordsCase('fences are read oldest first, and gone once they are cleared', async ({ store, clock }) => {
    for (const name of ['a', 'b', 'c']) {
      await store.insertKey(sampleKey(clock.now(), { id: `${keyId.slice(0, -1)}${name}` }), otherLedger(), anyNumber);
    }
    const [first, second] = await store.pendingFences(2);
    assert.match(first?.scopeId ?? '', /a$/);
    assert.match(second?.scopeId ?? '', /b$/);
    await store.clearFences([first?.id ?? '', 'unknown']);
    const left = await store.pendingFences(100);
    assert.deepEqual(
      left.map(({ scopeId }) => scopeId.slice(-1)),
      ['b', 'c'],
    );
    await store.clearFences(left.map(({ id }) => id));
    assert.deepEqual(await store.pendingFences(100), []);
  }),

  recordsCase('a change that is refused leaves no fence, nor does one for the own ledger', async (session) => {
    const { store, clock } = session;
    const key = sampleKey(clock.now(), { id: keyId });
    await store.insertKey(key, sampleChange(), anyNumber);
    await store.insertKey(key, otherLedger(), anyNumber);
    await store.updateKey({ ...key, version: 7 }, otherLedger(), anyNumber);
    await store.deleteKey(keyId, 7, otherLedger());
    await store.putPolicy('team:red', samplePolicy(clock.now(), { version: 4 }), otherLedger());
    assert.deepEqual(await store.pendingFences(100), []);
  }),
];
