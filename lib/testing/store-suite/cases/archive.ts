import assert from 'node:assert/strict';
import { noTokens, type UsageEvent } from '../../../usage/usage.ts';
import { keyId } from '../caller.ts';
import { type CombinableCase, recordsCase } from '../combinable-case.ts';

function usageOf(holdId: string, costNanoUsd: number, fields: Partial<UsageEvent> = {}): UsageEvent {
  return {
    ...{ keyId, ownerId: 'ann', teamId: null, model: 'gpt-4o', endpoint: '/v1/chat/completions' },
    ...noTokens,
    ...{ holdId, callId: '', source: 'reported', requests: 1, costNanoUsd, trace: null },
    atMs: Date.UTC(2026, 0, 15, 12),
    ...fields,
  };
}

const archived = { state: 'archived' };
const sums = { ...noTokens, group: {} };

export const archiveCases: readonly CombinableCase[] = [
  recordsCase('usage of another ledger counts as usage, and moves the mark', async ({ store }) => {
    assert.equal(await store.archivedUntil(), null);
    const events = [usageOf('a', 5, { inputTokens: 10 }), usageOf('a', 7, { callId: 'second' }), usageOf('b', 11)];
    assert.deepEqual(await store.archiveUsage(events, { from: null, to: '{"at":"1"}' }), archived);
    assert.equal(await store.archivedUntil(), '{"at":"1"}');
    assert.deepEqual(await store.usage({ keyId, groupBy: [] }), [
      { ...sums, requests: 3, inputTokens: 10, costNanoUsd: 23 },
    ]);
  }),

  recordsCase('the mark moves without usage, too', async ({ store }) => {
    assert.deepEqual(await store.archiveUsage([], { from: null, to: '1' }), archived);
    assert.deepEqual(await store.archiveUsage([], { from: '1', to: '2' }), archived);
    assert.equal(await store.archivedUntil(), '2');
  }),

  recordsCase('usage that comes again is kept once', async ({ store }) => {
    const event = usageOf('a', 5);
    await store.archiveUsage([event, event], { from: null, to: '1' });
    await store.archiveUsage([event, usageOf('b', 1)], { from: '1', to: '2' });
    assert.deepEqual(await store.usage({ groupBy: [] }), [{ ...sums, requests: 2, costNanoUsd: 6 }]);
  }),

  recordsCase('of a line that was corrected the latest stands', async ({ store }) => {
    const abandoned = usageOf('a', 100, { source: 'abandoned' });
    const settled = usageOf('a', 30, { outputTokens: 4, model: 'gpt-4o-mini' });
    await store.archiveUsage([abandoned], { from: null, to: '1' });
    await store.archiveUsage([settled], { from: '1', to: '2' });
    // Both are read again, in the order they were written.
    await store.archiveUsage([abandoned, settled], { from: '2', to: '3' });
    assert.deepEqual(await store.usage({ groupBy: ['model'] }).then((rows) => rows.filter((row) => row.requests > 0)), [
      { ...sums, group: { model: 'gpt-4o-mini' }, requests: 1, outputTokens: 4, costNanoUsd: 30 },
    ]);
  }),

  recordsCase('adjustments are usage of their key alone', async ({ store }) => {
    const reset = usageOf('reset', -5, { source: 'adjustment', requests: 0 });
    await store.archiveUsage([usageOf('a', 5), reset], { from: null, to: '1' });
    const cost = async (query: { keyId?: string; ownerIds?: string[] }) =>
      (await store.usage({ ...query, groupBy: [] }))[0]?.costNanoUsd;
    assert.deepEqual([await cost({ keyId }), await cost({ ownerIds: ['ann'] })], [0, 5]);
  }),

  recordsCase('of two that archive from one mark the second keeps nothing', async ({ store }) => {
    await store.archiveUsage([usageOf('a', 1)], { from: null, to: '1' });
    const overtaken = { state: 'overtaken' };
    assert.deepEqual(await store.archiveUsage([usageOf('b', 2)], { from: null, to: '9' }), overtaken);
    assert.deepEqual(await store.archiveUsage([usageOf('c', 4)], { from: '0', to: '9' }), overtaken);
    assert.equal(await store.archivedUntil(), '1');
    assert.deepEqual(await store.usage({ groupBy: [] }), [{ ...sums, requests: 1, costNanoUsd: 1 }]);
  }),

  recordsCase('of many that archive from one mark at once one does', async ({ store }) => {
    await store.archiveUsage([], { from: null, to: '0' });
    const states = await Promise.all(
      ['a', 'b', 'c', 'd'].map((name) => store.archiveUsage([usageOf(name, 1)], { from: '0', to: name })),
    );
    assert.equal(states.filter(({ state }) => state === 'archived').length, 1);
    assert.equal((await store.usage({ groupBy: [] }))[0]?.requests, 1);
  }),
];
