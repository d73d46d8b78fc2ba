import assert from 'node:assert/strict';
import express from 'express';
import request from 'supertest';
import { keysRouter } from '../../../../lib/http/router/keys-router.ts';
import type { Grant } from '../../../../lib/http/router/roles.ts';
import type { ShownAlert } from '../../../../lib/keys/shown-alert.ts';
import { createKey, testService } from '../../../support/service.ts';

/** Alerts of Ada's key in team red, of Bob's in team blue, and of budgets over both of them. */
async function setUp(grant: Grant) {
  const service = testService();
  const { keys, clock } = service;
  await keys.setPolicy({ team: 'red' }, { maxBudget: 1 });
  await keys.setPolicy({ user: 'bob' }, { softBudget: 1 });
  await keys.setPolicy('global', { maxBudget: 2.2 });
  for (const [ownerId, teamId] of [
    ['ada', 'red'],
    ['bob', 'blue'],
  ] as const) {
    const { key } = await createKey(service, { name: ownerId, ownerId, teamId, maxBudget: 1 });
    await keys.recordUsage({ id: ownerId, keyId: key.id, model: 'gpt-4o', costUsd: 1 });
    clock.advance(1);
  }
  const app = express().use('/keys', keysRouter({ keys, authorize: () => grant }));
  const names = new Map((await keys.list()).items.map(({ id, name }) => [`key:${id}`, `key of ${name}`]));
  return {
    names,
    async targets(query: string): Promise<readonly string[]> {
      const { body } = await request(app).get(`/keys/alerts${query}`).expect(200);
      return body.items.map(({ target }: ShownAlert) => names.get(target) ?? target).sort();
    },
    get: (query = '') => request(app).get(`/keys/alerts${query}`),
    post: () => request(app).post('/keys/alerts').send({}),
    keys,
  };
}

const admin: Grant = { actorId: 'root', role: 'admin' };

describe('keysRouter: GET /alerts', () => {
  it('lists all alerts for admins and auditors, as the service does', async () => {
    for (const grant of [admin, { actorId: 'eve', role: 'auditor' }] as const) {
      const { get, keys } = await setUp(grant);
      const answer = await get('?limit=2');
      assert.equal(answer.headers['cache-control'], 'no-store');
      assert.deepEqual(answer.body, await keys.alerts({}, { limit: 2 }));
      assert.deepEqual([answer.body.items.length, answer.body.total], [2, 5]);
    }
  });

  it('lists the alerts of its teams for a manager, and those of its owners for such an auditor', async () => {
    const manager = await setUp({ actorId: 'mia', role: 'manager', teamIds: ['red'] });
    assert.deepEqual(await manager.targets(''), ['key of ada', 'team:red']);
    assert.deepEqual(await manager.targets('?teamId=blue'), []);
    assert.deepEqual(await manager.targets('?target=global'), []);
    const auditor = await setUp({ actorId: 'eve', role: 'auditor', ownerIds: ['bob'] });
    assert.deepEqual(await auditor.targets(''), ['key of bob', 'user:bob']);
    const nobody = await setUp({ actorId: 'mia', role: 'manager' });
    assert.deepEqual(await nobody.targets(''), []);
  });

  it('filters by type, key, target, owner and team', async () => {
    const { targets, names } = await setUp(admin);
    assert.deepEqual(await targets('?type=budget.warning'), ['global', 'user:bob']);
    assert.deepEqual(await targets('?type=budget.exceeded,budget.warning&ownerId=bob'), ['key of bob', 'user:bob']);
    assert.deepEqual(await targets('?target=team%3Ared'), ['team:red']);
    assert.deepEqual(await targets('?teamId=blue'), ['key of bob']);
    const [[ofAda = ''] = []] = [...names].filter(([, name]) => name === 'key of ada');
    assert.deepEqual(await targets(`?keyId=${ofAda.slice('key:'.length)}`), ['key of ada']);
  });

  it('names what it cannot list, and takes no other method', async () => {
    const { get, post } = await setUp(admin);
    const { status, body } = await get('?type=budget.over&limit=0');
    assert.deepEqual([status, body.error.code], [400, 'invalid_request']);
    const refused = await post();
    assert.deepEqual([refused.status, refused.headers.allow], [405, 'HEAD, GET']);
  });

  for (const role of ['user', 'service'] as const) {
    it(`is forbidden to the role ${role}`, async () => {
      const { get } = await setUp({ actorId: 'ada', role });
      assert.equal((await get()).status, 403);
    });
  }
});
