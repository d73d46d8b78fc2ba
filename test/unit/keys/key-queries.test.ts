import assert from 'node:assert/strict';
import { createKey, testService } from '../../support/service.ts';

const dayMs = 86_400_000;

describe('createVirtualKeys: list and count', () => {
  it('pages through keys of one moment without repeating or losing any', async () => {
    const service = testService();
    const made = await Promise.all(Array.from({ length: 10 }, () => createKey(service, { models: ['gpt-4', 'o1'] })));
    const first = await service.keys.list({}, { limit: 5 });
    const second = await service.keys.list({}, { limit: 5, cursor: first.nextCursor ?? '' });
    assert.deepEqual([first.total, second.total, second.nextCursor], [10, 10, null]);
    const ids = [...first.items, ...second.items].map(({ id }) => id);
    assert.deepEqual([...ids].sort(), made.map(({ key }) => key.id).sort());
    const numbered = await service.keys.list({}, { limit: 5, page: 2 });
    assert.deepEqual(numbered.items, second.items);
    const found = await service.keys.list({ models: ['gpt-4'] });
    assert.deepEqual(found.items[0]?.models, ['gpt-4', 'o1']);
    assert.equal((await service.keys.list({ models: ['gpt'] })).total, 0);
    for (const limit of [0, 101, -1]) {
      await assert.rejects(service.keys.list({}, { limit }), { code: 'invalid_request', param: 'limit' });
    }
  });

  it('finds keys by status, owner, team, tag and part of the name', async () => {
    const service = testService();
    const { key } = await createKey(service, { name: 'Alpha', ownerId: 'ada', teamId: 'red', tags: ['x'] });
    await createKey(service, { name: 'Beta', ownerId: 'bob', teamId: 'blue', tags: ['y'] });
    for (const filter of [
      { ownerId: 'ada' },
      { ownerId: ['ada', 'eve'] },
      { teamId: 'red' },
      { tag: 'x' },
      { search: 'ALPH' },
      { status: 'active', tag: 'x' } as const,
    ]) {
      assert.deepEqual(await service.keys.list(filter), { items: [key], total: 1, nextCursor: null });
      assert.equal((await service.keys.count(filter)).active, 1);
    }
    assert.equal((await service.keys.list({ ownerId: [] })).total, 0);
  });

  it('counts every key in one status', async () => {
    const service = testService();
    const { keys, clock } = service;
    const make = (count: number, fields = {}) =>
      Promise.all(Array.from({ length: count }, async () => (await createKey(service, fields)).key.id));
    await make(5);
    for (const id of await make(3)) await keys.revoke(id);
    for (const id of await make(1, { expiresInDays: 1 })) await keys.revoke(id);
    await make(2, { expiresInDays: 1 });
    for (const id of await make(1)) await keys.disable(id);
    clock.advance(dayMs);
    assert.deepEqual(await keys.count(), { active: 5, disabled: 1, expired: 2, revoked: 4, total: 12 });
  });
});
