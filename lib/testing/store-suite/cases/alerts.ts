import assert from 'node:assert/strict';
import type { Alert, AlertQuery } from '../../../stores/store.ts';
import { concurrently } from '../concurrent.ts';
import { type StoreCase, storeCase } from '../store-case.ts';
import { secondMs } from '../test-clock.ts';

function sampleAlert(id: string, fields: Partial<Alert> = {}): Alert {
  return {
    id,
    type: 'budget.warning',
    scopeId: 'key:a',
    ownerId: 'ann',
    teamId: 'red',
    keyId: 'a',
    model: null,
    budget: {
      name: 'monthly_budget',
      limitNanoUsd: 100_000_000_000,
      thresholdNanoUsd: 80_000_000_000,
      percent: 80,
      spentNanoUsd: 81_000_000_000,
      resetAtMs: Date.UTC(2026, 1, 1),
    },
    ...fields,
  };
}

export const alertCases: readonly StoreCase[] = [
  storeCase('records', 'of many who tell of one alert, one is told that it is new', async ({ store, clock }) => {
    const alert = sampleAlert('80');
    const outcomes = await concurrently(5, () => store.insertAlert(alert));
    const inserted = outcomes.filter(({ outcome }) => outcome === 'inserted');
    assert.deepEqual(inserted, [{ outcome: 'inserted', row: { ...alert, atMs: clock.now() } }]);
    clock.advance(secondMs);
    assert.deepEqual(await store.insertAlert({ ...alert, model: 'other' }), { outcome: 'exists' });
    const { items } = await store.listAlerts({}, { limit: 10 });
    assert.deepEqual(items, [{ ...alert, atMs: clock.now() - secondMs }]);
  }),

  storeCase('records', 'alerts are paged newest first, and by id where they came at once', async ({ store, clock }) => {
    for (const id of ['b', 'c', 'a']) await store.insertAlert(sampleAlert(id));
    clock.advance(1);
    await store.insertAlert(sampleAlert('later', { type: 'hold.lost', model: 'gpt-4o', budget: null }));
    const first = await store.listAlerts({}, { limit: 3 });
    const second = await store.listAlerts({}, { limit: 3, cursor: first.nextCursor ?? '' });
    assert.deepEqual(
      [first, second].map(({ items }) => items.map(({ id }) => id)),
      [['later', 'c', 'b'], ['a']],
    );
    assert.deepEqual([first.total, second.total, second.nextCursor], [4, 4, null]);
    const numbered = await store.listAlerts({}, { limit: 3, page: 2 });
    assert.deepEqual(numbered.items, second.items);
  }),

  storeCase('records', 'alerts are filtered by type, scope, owner and team, all of them at once', async ({ store }) => {
    await store.insertAlert(sampleAlert('1'));
    await store.insertAlert(sampleAlert('2', { type: 'budget.exceeded', ownerId: 'bob' }));
    await store.insertAlert(sampleAlert('3', { scopeId: 'team:red', ownerId: null }));
    await store.insertAlert(sampleAlert('4', { scopeId: 'global', ownerId: null, teamId: null }));
    const queries: readonly (readonly [AlertQuery, readonly string[]])[] = [
      [{}, ['4', '3', '2', '1']],
      [{ types: ['budget.exceeded'] }, ['2']],
      [{ scopeIds: ['team:red', 'global'] }, ['4', '3']],
      [{ ownerIds: ['ann', 'bob'] }, ['2', '1']],
      [{ teamIds: ['red'] }, ['3', '2', '1']],
      [{ teamIds: ['red'], ownerIds: ['ann'], types: ['budget.warning'], scopeIds: ['key:a'] }, ['1']],
      [{ teamIds: [] }, []],
    ];
    for (const [query, ids] of queries) {
      const { items, total } = await store.listAlerts(query, { limit: 10 });
      assert.deepEqual(
        items.map(({ id }) => id),
        ids,
      );
      assert.equal(total, ids.length);
    }
  }),
];
