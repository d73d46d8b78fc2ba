import assert from 'node:assert/strict';
import express from 'express';
import request from 'supertest';
import { KeyNotFoundError } from '../../../../lib/errors.ts';
import { keysRouter } from '../../../../lib/http/router/keys-router.ts';
import type { Grant } from '../../../../lib/http/router/roles.ts';
import type { AttachedMirror, ShownSync } from '../../../../lib/keys/attached-mirror.ts';
import { internalsOf } from '../../../../lib/keys/internals.ts';
import { createKey, testService } from '../../../support/service.ts';

const sync: ShownSync = { state: 'error', alias: 'Test_0123abcd', error: 'refused', warnings: ['one'], attempts: 2 };
const status = { pending: 1, synced: 2, error: 3, orphaned: 4, waiting: { now: 1, later: 0 } };

async function setUp(grant: Grant, { isMirrored = true } = {}) {
  const service = testService();
  const { keys } = service;
  const { key } = await createKey(service, { ownerId: 'ada', teamId: 'red' });
  const mirror: AttachedMirror = {
    show: async (keyIds) => new Map(keyIds.map((keyId) => [keyId, sync])),
    async resync(keyId) {
      if (keyId !== key.id) throw new KeyNotFoundError();
      return sync;
    },
    status: async () => status,
  };
  if (isMirrored) internalsOf('test', keys).mirror.attach(mirror);
  const app = express().use('/keys', keysRouter({ keys, authorize: () => grant }));
  return {
    id: key.id,
    get: (path: string) => request(app).get(`/keys${path}`),
    resync: (id: string) => request(app).post(`/keys/${id}/resync`),
  };
}

const admin: Grant = { actorId: 'root', role: 'admin' };

describe('keysRouter: how keys stand with their twins', () => {
  it('shows it on each key', async () => {
    const { id, get } = await setUp(admin);
    assert.deepEqual((await get(`/${id}`)).body.sync, sync);
    assert.deepEqual((await get('')).body.items[0].sync, sync);
  });

  it('shows nothing where no mirror is attached, and has no such routes', async () => {
    const { id, get, resync } = await setUp(admin, { isMirrored: false });
    assert.equal((await get(`/${id}`)).body.sync, null);
    for (const { status: code, body } of [await get('/sync/status'), await resync(id)]) {
      assert.deepEqual([code, body], [404, {}]);
    }
  });

  it('tells the states of all keys to who may see all of them', async () => {
    assert.deepEqual((await (await setUp(admin)).get('/sync/status')).body, status);
    assert.equal((await (await setUp({ actorId: 'a', role: 'auditor' })).get('/sync/status')).status, 200);
    const bounded = await setUp({ actorId: 'a', role: 'auditor', ownerIds: ['ada'] });
    assert.equal((await bounded.get('/sync/status')).status, 403);
    assert.equal((await (await setUp({ actorId: 'ada', role: 'user' })).get('/sync/status')).status, 403);
  });

  it('looks at a key again for admins and for managers of its team', async () => {
    for (const grant of [admin, { actorId: 'm', role: 'manager', teamIds: ['red'] } as const]) {
      const { id, resync } = await setUp(grant);
      assert.deepEqual((await resync(id)).body, sync);
      assert.equal((await resync('none')).status, 404);
    }
    const { id, resync } = await setUp({ actorId: 'm', role: 'manager', teamIds: ['blue'] });
    assert.equal((await resync(id)).status, 404);
    const user = await setUp({ actorId: 'ada', role: 'user' });
    assert.equal((await user.resync(user.id)).status, 403);
  });

  it('takes no other method and no fields', async () => {
    const { id, get, resync } = await setUp(admin);
    assert.deepEqual([(await get(`/${id}/resync`)).status, (await get(`/${id}/resync`)).headers.allow], [405, 'POST']);
    assert.equal((await resync(id).send({ force: true })).status, 400);
  });
});
