import assert from 'node:assert/strict';
import express, { type Express } from 'express';
import request from 'supertest';
import { FencePendingError } from '../../../../lib/errors.ts';
import type { AdminTarget } from '../../../../lib/http/router/admin-call.ts';
import { keysRouter } from '../../../../lib/http/router/keys-router.ts';
import type { Grant } from '../../../../lib/http/router/roles.ts';
import { createVirtualKeys } from '../../../../lib/keys/create-virtual-keys.ts';
import type { KeyInput } from '../../../../lib/keys/key-input.ts';
import { mintSecret } from '../../../../lib/keys/secret.ts';
import type { CreateVirtualKeysOptions } from '../../../../lib/keys/service-options.ts';
import { memoryStore } from '../../../../lib/stores/memory/memory-store.ts';
import { testLog } from '../../../support/service.ts';

// Untyped as a package of its own; it is Express 4 by another name.
const express4: typeof express = (await import('express4' as string)).default;

const admin: Grant = { actorId: 'root', role: 'admin' };
const auditor: Grant = { actorId: 'eve', role: 'auditor' };
const ada: Grant = { actorId: 'ada', role: 'user' };
const bob: Grant = { actorId: 'bob', role: 'user' };
const redManager: Grant = { actorId: 'mia', role: 'manager', teamIds: ['red'] };
const service: Grant = { actorId: 'ci', role: 'service', ownerIds: ['ada'] };

for (const [version, createApp] of [
  [4, express4],
  [5, express],
] as const) {
  describe(`keysRouter on Express ${version}`, () => {
    describe('who calls', () => {
      it('is asked for each action, with its target', async () => {
        const asked: [string, AdminTarget][] = [];
        const { app } = setUp({
          authorize: (_req, action, target) => {
            asked.push([action, target]);
            return null;
          },
        });
        await request(app).post('/keys').send({});
        await request(app).get('/keys/some-id');
        await request(app).delete('/keys/some-id?permanent=true');
        await request(app).put('/keys/policies/team/red').send({});
        assert.deepEqual(asked, [
          ['keys.create', null],
          ['keys.read', { keyId: 'some-id' }],
          ['keys.delete', { keyId: 'some-id' }],
          ['policies.write', { policy: { team: 'red' } }],
        ]);
      });

      it('is unauthorized when nobody knows them, whatever their headers and body say', async () => {
        const { app } = setUp({ authorize: () => undefined });
        const { status, body } = await request(app)
          .post('/keys')
          .set('X-User-ID', 'root')
          .set('content-type', 'application/json')
          .send('not JSON');
        assert.equal(status, 401);
        assert.deepEqual(body, {
          error: {
            message: 'Authentication is required',
            type: 'authentication_error',
            code: 'unauthorized',
            param: null,
          },
        });
      });

      it('may be told asynchronously, and what is thrown there goes to the app', async () => {
        const failing = setUp({ authorize: async () => Promise.reject(new Error('directory is down')) });
        assert.equal((await request(failing.app).get('/keys')).text, 'app: directory is down');
        const whole = setUp({ authorize: async () => admin });
        assert.equal((await request(whole.app).get('/keys')).status, 200);
      });

      for (const grant of [{}, { actorId: 'x' }, { actorId: 'x', role: 'root' }, { ...ada, ownerIds: 'ada' }, true]) {
        it(`is let in by no grant like ${JSON.stringify(grant)}`, async () => {
          const { app } = setUp({ authorize: () => grant as Grant });
          assert.match((await request(app).get('/keys')).text, /^app: keysRouter: authorize must give/);
        });
      }
    });

    describe('POST /', () => {
      it('makes a key and shows its secret, to be kept by nobody between', async () => {
        const { as, keys } = setUp();
        const answer = await as(admin)
          .post('/keys')
          .send({ name: 'Production Key!!', modelIds: ['gpt-4o*'] });
        assert.equal(answer.status, 201);
        assert.equal(answer.headers['cache-control'], 'no-store');
        const { key, secret } = answer.body;
        assert.equal(answer.headers.location, `/keys/${key.id}`);
        assert.match(key.alias, /^Production-Key_[0-9a-f]{8}$/);
        assert.deepEqual(await keys.verify(secret), { valid: true, key: await keys.get(key.id) });
        assert.deepEqual(await keys.get(key.id), key);
      });

      it('tells every problem, and makes nothing', async () => {
        const { as, keys } = setUp();
        const { status, body } = await as(admin)
          .post('/keys')
          .send({ name: '', models: [], rpmLimit: 1.5, expiresAt: '2001-01-01T00:00:00Z', allowedIps: ['x'] });
        assert.equal(status, 400);
        assert.equal(body.error.code, 'invalid_request');
        assert.deepEqual(
          body.error.details.map(({ field }: { field: string }) => field),
          ['models', 'rpmLimit', 'allowedIps.0', 'expiresAt', 'name'],
        );
        assert.equal((await keys.count()).total, 0);
      });

      it('refuses more than the maximum, naming all of it', async () => {
        const { as } = setUp({ maximums: { maxBudget: 200, rpmLimit: 100 } });
        const { status, body } = await as(ada)
          .post('/keys')
          .send({ name: 'x', models: ['*'], maxBudget: 500 });
        assert.equal(status, 400);
        assert.deepEqual(body, {
          error: {
            message: 'rpmLimit: unlimited exceeds maximum 100; maxBudget: 500 exceeds maximum 200',
            type: 'invalid_request_error',
            code: 'quota_limits_exceeded',
            param: 'rpmLimit',
            details: [
              { field: 'rpmLimit', message: 'unlimited exceeds maximum 100' },
              { field: 'maxBudget', message: '500 exceeds maximum 200' },
            ],
          },
        });
      });

      const bodies: readonly [title: string, type: string, body: string, status: number, code: string][] = [
        ['malformed JSON', 'application/json', '{"name":', 400, 'invalid_request'],
        ['a list', 'application/json', '[]', 400, 'invalid_request'],
        ['a text', 'application/json', '"x"', 400, 'invalid_request'],
        ['a form', 'application/x-www-form-urlencoded', 'name=x', 415, 'unsupported_media_type'],
        ['plain text', 'text/plain', '{}', 415, 'unsupported_media_type'],
        ['an unknown charset', 'application/json; charset=klingon', '{}', 415, 'unsupported_media_type'],
        [
          'more than 100 kB',
          'application/json',
          JSON.stringify({ name: 'x'.repeat(200_000) }),
          413,
          'payload_too_large',
        ],
      ];
      for (const [title, type, body, status, code] of bodies) {
        it(`answers ${status} to ${title}`, async () => {
          const { as } = setUp();
          const answer = await as(admin).post('/keys').set('content-type', type).send(body);
          assert.deepEqual([answer.status, answer.body.error.code], [status, code]);
        });
      }

      it('answers 400 to a body that is not compressed as it says', async () => {
        const { as } = setUp();
        const answer = await as(admin)
          .post('/keys')
          .set({ 'content-type': 'application/json', 'content-encoding': 'gzip' })
          .send('{}');
        assert.deepEqual([answer.status, answer.body.error.code], [400, 'invalid_request']);
      });

      it('takes a body that the app has parsed, and parses one that another parser passed by', async () => {
        for (const parser of [createApp.json(), createApp.urlencoded({ extended: false })]) {
          const { as } = setUp({ before: parser });
          const answer = await as(admin)
            .post('/keys')
            .send({ name: 'x', models: ['*'] });
          assert.equal(answer.status, 201);
        }
      });

      const placed: readonly [title: string, grant: Grant, fields: object, expected: object][] = [
        ['a user as owner', ada, {}, { status: 201, ownerId: 'ada', teamId: null }],
        ['no other owner for a user', ada, { ownerId: 'bob' }, { status: 403, param: 'ownerId' }],
        ['no team that a user is not in', ada, { teamId: 'red' }, { status: 403, param: 'teamId' }],
        [
          'a team that a user is in',
          { ...ada, teamIds: ['red'] },
          { teamId: 'red' },
          { status: 201, ownerId: 'ada', teamId: 'red' },
        ],
        [
          'no key of a user whose limits are not enforced',
          ada,
          { rateLimitEnabled: false },
          { status: 403, param: 'rateLimitEnabled' },
        ],
        ['a manager’s only team', redManager, { ownerId: 'bob' }, { status: 201, ownerId: 'bob', teamId: 'red' }],
        ['no other team for a manager', redManager, { teamId: 'blue' }, { status: 403, param: 'teamId' }],
        ['the owner that a service is for', service, {}, { status: 201, ownerId: 'ada', teamId: null }],
        ['no owner that a service is not for', service, { ownerId: 'bob' }, { status: 403, param: 'ownerId' }],
        ['no key by an auditor', auditor, {}, { status: 403, param: null }],
        ['anything by an admin', admin, { ownerId: 'x', teamId: 'y' }, { status: 201, ownerId: 'x', teamId: 'y' }],
      ];
      for (const [title, grant, fields, expected] of placed) {
        it(`takes ${title}`, async () => {
          const { as } = setUp();
          const { status, body } = await as(grant)
            .post('/keys')
            .send({ name: 'x', models: ['*'], ...fields });
          const { ownerId, teamId } = body.key ?? {};
          assert.deepEqual(
            status === 201 ? { status, ownerId, teamId } : { status, param: body.error.param },
            expected,
          );
        });
      }

      it('lets a user choose no period where money has a maximum', async () => {
        const { as } = setUp({ defaults: { budgetDuration: 'monthly', maxBudget: 5 }, maximums: { maxBudget: 10 } });
        const create = (fields: object) =>
          as(ada)
            .post('/keys')
            .send({ name: 'x', models: ['*'], ...fields });
        assert.equal((await create({ maxBudget: 10, budgetDuration: '1h' })).body.error.param, 'budgetDuration');
        assert.equal((await create({ maxBudget: 10, budgetDuration: 'monthly' })).status, 201);
        assert.equal((await create({ maxBudget: 10 })).body.key.budgetDuration, 'monthly');
      });
    });

    it('tells a caller which role may not do what', async () => {
      const { as } = setUp();
      const told = async (answer: PromiseLike<request.Response>) => (await answer).body.error.message;
      const input = { name: 'x', models: ['*'], teamId: 'red' };
      assert.equal(await told(as(ada).post('/keys').send(input)), 'The role "user" may not set teamId so');
      assert.equal(await told(as(ada).get('/keys/stats')), 'The role "user" may not do stats.read');
      const policy = as(redManager).put('/keys/policies/team/blue').send({});
      assert.equal(await told(policy), 'The role "manager" may not do policies.write here');
      assert.equal(await told(as(admin).get('/keys/policies/team/blue')), 'No such policy');
    });

    describe('GET /', () => {
      it('gives the newest twenty, and the rest by cursor or page', async () => {
        const { as, make } = setUp();
        for (let at = 0; at < 25; at += 1) await make({ name: `key ${at}` });
        const first = (await as(admin).get('/keys')).body;
        const rest = (await as(admin).get(`/keys?cursor=${first.nextCursor}`)).body;
        const ids = [...first.items, ...rest.items].map(({ id }) => id);
        assert.deepEqual([first.items.length, first.total, rest.items.length, rest.nextCursor], [20, 25, 5, null]);
        assert.equal(new Set(ids).size, 25);
        const { items, page, pages, total } = (await as(admin).get('/keys?page=3&limit=10')).body;
        assert.deepEqual([items.length, page, pages, total], [5, 3, 3, 25]);
      });

      it('finds keys by any of the models they list, with all their models', async () => {
        const { as, make } = setUp();
        await make({ models: ['gpt-4', 'o3'] });
        await make({ models: ['gpt-4*'] });
        await make({ models: ['claude'] });
        for (const query of ['modelIds=gpt-4,claude', 'modelIds=gpt-4&modelIds=claude']) {
          const { items } = (await as(admin).get(`/keys?${query}`)).body;
          assert.deepEqual(items.map(({ models }: { models: string[] }) => models).sort(), [
            ['claude'],
            ['gpt-4', 'o3'],
          ]);
        }
      });

      for (const query of [
        'limit=0',
        'limit=101',
        'limit=-1',
        'limit=abc',
        'limit=',
        'page=0',
        'status=lost',
        'modelIds=',
      ]) {
        it(`refuses ${query}`, async () => {
          const { as } = setUp();
          const { status, body } = await as(admin).get(`/keys?${query}`);
          assert.deepEqual([status, body.error.code], [400, 'invalid_request']);
        });
      }

      const seen: readonly [title: string, grant: Grant, query: string, names: readonly string[]][] = [
        ['everything to an admin', admin, '', ['ada', 'ada-red', 'bob-red']],
        ['its own to a user', ada, '', ['ada', 'ada-red']],
        ['nothing of somebody else to a user who asks for it', ada, '?ownerId=bob', []],
        ['its teams to a manager', redManager, '', ['ada-red', 'bob-red']],
        ['one owner inside its teams to a manager', redManager, '?ownerId=ada', ['ada-red']],
        ['no other team to a manager', redManager, '?teamId=blue', []],
        ['nothing to a manager of no team', { actorId: 'm', role: 'manager' }, '', []],
        ['what an auditor is for', { ...auditor, ownerIds: ['ada'], teamIds: ['red'] }, '', ['ada-red']],
        ['its owners to a service', service, '', ['ada', 'ada-red']],
      ];
      for (const [title, grant, query, names] of seen) {
        it(`shows ${title}`, async () => {
          const { as, make } = setUp();
          await make({ name: 'ada', ownerId: 'ada' });
          await make({ name: 'ada-red', ownerId: 'ada', teamId: 'red' });
          await make({ name: 'bob-red', ownerId: 'bob', teamId: 'red' });
          const { items } = (await as(grant).get(`/keys${query}`)).body;
          assert.deepEqual(items.map(({ name }: { name: string }) => name).sort(), names);
        });
      }
    });

    describe('somebody else’s key', () => {
      const routes: readonly [method: 'get' | 'post' | 'patch' | 'delete', path: string][] = [
        ['get', ''],
        ['patch', ''],
        ['delete', ''],
        ['post', '/rotate'],
        ['post', '/revoke'],
        ['get', '/usage'],
      ];
      for (const [method, path] of routes) {
        it(`is not found by ${method.toUpperCase()} /:id${path}, and stays as it was`, async () => {
          const { as, make, keys } = setUp();
          const key = await make({ ownerId: 'ada' });
          const { status, body } = await as(bob)[method](`/keys/${key.id}${path}`).set('X-User-ID', 'ada').send();
          assert.deepEqual([status, body.error.code], [404, 'key_not_found']);
          assert.deepEqual(await keys.get(key.id), key);
          const unknown = await as(bob)[method](`/keys/no-such-key${path}`).send();
          assert.deepEqual([unknown.status, unknown.body], [404, body]);
        });
      }

      it('is an unknown secret to POST /verify', async () => {
        const { as, keys } = setUp();
        const { secret } = await keys.create({ name: 'x', models: [], ownerId: 'ada' });
        const verify = async (grant: Grant) => (await as(grant).post('/keys/verify').send({ secret })).body;
        assert.deepEqual(await verify(bob), { valid: false, reason: 'unknown' });
        assert.equal((await verify(ada)).key.ownerId, 'ada');
      });
    });

    describe('PATCH /:id', () => {
      it('changes what is given, and nothing else', async () => {
        const { as, make } = setUp();
        const key = await make({ rpmLimit: 60, tpmLimit: 5000, maxBudget: 5 });
        const answer = await as(admin).patch(`/keys/${key.id}`).send({ rpmLimit: 10, models: [], tpmLimit: null });
        assert.equal(answer.status, 200);
        assert.equal(answer.headers.etag, '"2"');
        const { updatedAt, ...rest } = answer.body;
        const { updatedAt: _before, ...kept } = key;
        assert.deepEqual(rest, { ...kept, rpmLimit: 10, tpmLimit: null, models: [], version: 2 });
      });

      it('lets one of two writers through who both saw the same version', async () => {
        const { as, make } = setUp();
        const { id } = await make({});
        const patch = (send: object, ifMatch?: string) =>
          as(admin)
            .patch(`/keys/${id}`)
            .set(ifMatch === undefined ? {} : { 'If-Match': ifMatch })
            .send(send);
        const byTag = await Promise.all([patch({ name: 'a' }, '"1"'), patch({ name: 'b' }, '"1"')]);
        assert.deepEqual(byTag.map(({ status }) => status).sort(), [200, 409]);
        assert.equal(byTag.find(({ status }) => status === 409)?.body.error.code, 'version_conflict');
        assert.equal((await patch({ name: 'c', version: 1 })).status, 409);
        assert.equal((await patch({ name: 'c', version: 2 })).body.version, 3);
        assert.equal((await patch({ name: 'd' }, 'W/"3"')).body.version, 4);
        assert.equal((await patch({ name: 'e' }, '*')).body.version, 5);
        assert.equal((await patch({ name: 'f' }, '"nonsense"')).status, 409);
        assert.equal((await patch({ name: 'f', version: 'five' })).status, 400);
      });

      const existing: KeyInput = {
        name: 'x',
        models: ['gpt-4*', 'o3'],
        ownerId: 'ada',
        rpmLimit: 60,
        maxBudget: 5,
        budgetDuration: '30d',
        expiresAt: '2031-01-01T00:00:00Z',
        modelRpmLimit: { o3: 5 },
        permissions: { allowEmbeddings: false },
      };
      const edits: readonly [title: string, patch: object, status: number][] = [
        ['rename', { name: 'new', tags: ['t'] }, 200],
        ['lower a limit', { rpmLimit: 59 }, 200],
        ['limit what was unlimited', { tpmLimit: 1000 }, 200],
        ['raise a limit', { rpmLimit: 61 }, 403],
        ['lift a limit', { rpmLimit: null }, 403],
        ['narrow the models', { models: ['gpt-4o', 'gpt-4-*'] }, 200],
        ['use no model', { models: [] }, 200],
        ['widen the models', { models: ['gpt-*'] }, 403],
        ['add a model by the other name', { modelIds: ['gpt-4*', 'o3', 'o4'] }, 403],
        ['narrow the endpoints', { endpoints: ['/v1/chat/*'] }, 200],
        ['take a permission away', { permissions: { allowCompletions: false } }, 200],
        ['give a permission', { permissions: { allowEmbeddings: true } }, 403],
        ['give all permissions', { permissions: null }, 403],
        ['lower a limit of a model', { modelRpmLimit: { o3: 4, 'gpt-4*': 9 } }, 200],
        ['lift a limit of a model', { modelRpmLimit: {} }, 403],
        ['expire earlier', { expiresAt: '2030-12-31T00:00:00Z' }, 200],
        ['expire later', { expiresAt: '2031-01-01T00:00:01Z' }, 403],
        ['expire never', { expiresAt: null }, 403],
        ['expire in days that are later', { expiresInDays: 3650 }, 403],
        ['count without limiting', { rateLimitEnabled: false }, 403],
        ['raise the budget', { maxBudget: 6 }, 403],
        ['lower the budget', { maxBudget: 4 }, 403],
        ['warn of another amount', { softBudget: 1 }, 403],
        ['change the period', { budgetDuration: '29d' }, 403],
        ['add a budget', { budgets: [{ maxBudget: 1, budgetDuration: 'daily' }] }, 403],
        ['add a budget of a model', { modelMaxBudget: { o3: 1 } }, 403],
        ['give the key away', { ownerId: 'bob' }, 403],
        ['join a team', { teamId: 'red' }, 403],
        ['write metadata', { metadata: { a: 1 } }, 403],
        ['invent a field', { colour: 'red' }, 400],
        ['send nonsense', { rpmLimit: '5' }, 400],
      ];
      for (const [title, patch, status] of edits) {
        it(`${status === 200 ? 'lets' : 'does not let'} a user ${title}`, async () => {
          const { as, make, keys } = setUp({ nowMs: Date.UTC(2030, 0, 1) });
          const key = await make(existing);
          const answer = await as(ada).patch(`/keys/${key.id}`).send(patch);
          assert.equal(answer.status, status);
          const now = await keys.get(key.id);
          if (status === 200) assert.deepEqual(answer.body, now);
          else assert.deepEqual(now, key);
        });
      }

      it('names each field that a user may not change', async () => {
        const { as, make } = setUp();
        const key = await make({ ownerId: 'ada', rpmLimit: 1 });
        const { body } = await as(ada).patch(`/keys/${key.id}`).send({ rpmLimit: 2, ownerId: 'bob', maxBudget: 1 });
        assert.deepEqual(body.error.details.map(({ field }: { field: string }) => field).sort(), [
          'maxBudget',
          'ownerId',
          'rpmLimit',
        ]);
      });

      it('lets a manager move a key to another owner, and not out of the team', async () => {
        const { as, make } = setUp();
        const { id } = await make({ ownerId: 'ada', teamId: 'red', maxBudget: 1 });
        const patch = (send: object) => as(redManager).patch(`/keys/${id}`).send(send);
        assert.equal((await patch({ ownerId: 'bob', maxBudget: 100 })).status, 200);
        for (const teamId of ['blue', null]) assert.equal((await patch({ teamId })).body.error.param, 'teamId');
      });
    });

    describe('the end of a key', () => {
      it('is revoked by DELETE, once', async () => {
        const { as, make, keys } = setUp();
        const { id } = await make({ ownerId: 'ada' });
        const { status, text } = await as(ada).delete(`/keys/${id}`);
        assert.deepEqual([status, text, (await keys.get(id)).status], [204, '', 'revoked']);
        for (const again of [as(ada).delete(`/keys/${id}`), as(ada).post(`/keys/${id}/rotate`)]) {
          assert.deepEqual([(await again).status, (await again).body.error.code], [409, 'key_revoked']);
        }
      });

      it('is deleted for good by an admin only', async () => {
        const { as, make, keys } = setUp();
        const { id } = await make({ ownerId: 'ada', teamId: 'red' });
        for (const grant of [ada, redManager]) {
          assert.equal((await as(grant).delete(`/keys/${id}?permanent=true`)).status, 403);
        }
        assert.equal((await as(admin).delete(`/keys/${id}?permanent=maybe`)).status, 400);
        assert.equal((await as(admin).delete(`/keys/${id}?permanent=true`)).status, 204);
        assert.equal((await keys.count()).total, 0);
      });

      it('is revoked with a reason', async () => {
        const { as, make } = setUp();
        const { id } = await make({});
        const { body } = await as(admin).post(`/keys/${id}/revoke`).send({ reason: 'leaked' });
        assert.deepEqual([body.status, body.revokedReason], ['revoked', 'leaked']);
      });
    });

    describe('POST /:id/rotate', () => {
      it('gives a new secret, and keeps the old one for the grace asked for', async () => {
        const { as, keys, make } = setUp();
        const { secret: old, key } = await keys.create({ name: 'x', models: ['*'], ownerId: 'ada' });
        const answer = await as(service).post(`/keys/${key.id}/rotate`).send({ graceSeconds: 60 });
        assert.equal(answer.status, 200);
        assert.equal(answer.headers['cache-control'], 'no-store');
        assert.equal(answer.body.key.id, key.id);
        for (const secret of [old, answer.body.secret]) assert.equal((await keys.verify(secret)).valid, true);
        const { id } = await make({});
        for (const body of [{ graceSeconds: -1 }, { graceSeconds: '60' }, { grace: 60 }]) {
          assert.equal((await as(admin).post(`/keys/${id}/rotate`).send(body)).status, 400);
        }
      });

      it('gives the new secret with 202 where the counters have yet to hear of it', async () => {
        const store = memoryStore();
        const { as, keys, make } = setUp({
          store: {
            ...store,
            async updateKey(...change) {
              await store.updateKey(...change);
              throw new FencePendingError();
            },
          },
        });
        const { id } = await make({});
        const { status, body } = await as(admin).post(`/keys/${id}/rotate`).send({});
        assert.equal(status, 202);
        assert.deepEqual(await keys.verify(body.secret), { valid: true, key: body.key });
        assert.equal((await as(admin).post(`/keys/${id}/disable`).send({})).status, 503);
      });
    });

    describe('POST /:id/…', () => {
      const permitted: readonly [path: string, by: readonly Grant[], notBy: readonly Grant[]][] = [
        ['disable', [admin, redManager], [ada, auditor, service]],
        ['enable', [admin, redManager], [ada, auditor, service]],
        ['reset-spend', [admin, redManager], [ada, auditor, service]],
        ['revoke', [admin, redManager, ada], [auditor, service]],
        ['rotate', [admin, redManager, ada, service], [auditor]],
      ];
      for (const [path, by, notBy] of permitted) {
        it(`${path} is for ${by.map(({ role }) => role).join(', ')} only`, async () => {
          const { as, make } = setUp();
          const call = async (grant: Grant) => {
            const { id } = await make({ ownerId: 'ada', teamId: 'red' });
            return (await as(grant).post(`/keys/${id}/${path}`)).status;
          };
          for (const grant of by) assert.equal(await call(grant), 200, grant.role);
          for (const grant of notBy) assert.equal(await call(grant), 403, grant.role);
        });
      }

      it('disables and enables', async () => {
        const { as, make } = setUp();
        const { id } = await make({});
        assert.equal((await as(admin).post(`/keys/${id}/disable`)).body.status, 'disabled');
        assert.equal((await as(admin).post(`/keys/${id}/enable`).send({})).body.status, 'active');
        assert.equal((await as(admin).post(`/keys/${id}/enable`).send({ force: true })).status, 400);
      });
    });

    describe('reports', () => {
      it('sum what a key consumed, by day and model', async () => {
        const { as, make, keys } = setUp();
        const { id } = await make({ ownerId: 'ada', maxBudget: 2 });
        const used = { keyId: id, model: 'gpt-4o', inputTokens: 30, outputTokens: 10, costUsd: 0.5 };
        await keys.recordUsage({ id: 'one', ...used });
        await keys.recordUsage({ id: 'two', ...used });
        const { body } = await as(ada).get(`/keys/${id}/usage?days=7`);
        const sums = {
          requests: 2,
          inputTokens: 60,
          outputTokens: 20,
          cacheReadTokens: 0,
          cacheWriteTokens: 0,
          totalTokens: 80,
          costUsd: 1,
        };
        assert.deepEqual(body, {
          keyId: id,
          days: 7,
          totals: sums,
          rows: [{ day: '2030-06-15', model: 'gpt-4o', ...sums }],
          averagePerRequest: { tokens: 40, costUsd: 0.5 },
          budgetUsedPercent: 50,
        });
        await keys.recordUsage({ ...used, id: 'three', costUsd: 0.1 });
        const more = await as(ada).get(`/keys/${id}/usage?days=7`);
        assert.deepEqual(more.body.averagePerRequest, { tokens: 40, costUsd: 0.366_666_667 });
        for (const query of ['days=0', 'days=366', 'groupBy=colour']) {
          assert.equal((await as(ada).get(`/keys/${id}/usage?${query}`)).status, 400);
        }
      });

      it('count keys by status and model, inside the scope of the caller', async () => {
        const { as, make, keys } = setUp();
        await make({ models: ['gpt-4o', 'o3'], teamId: 'red' });
        const { id } = await make({ models: ['o3'], teamId: 'red' });
        await make({ models: ['o3'] });
        await keys.disable(id);
        const { body } = await as(redManager).get('/keys/stats');
        assert.deepEqual(body.keys, { total: 2, active: 1, disabled: 1, expired: 0, revoked: 0 });
        assert.deepEqual(body.models, [
          { model: 'gpt-4o', keys: 1 },
          { model: 'o3', keys: 2 },
        ]);
        assert.equal(body.usage.totals.requests, 0);
        assert.equal((await as(ada).get('/keys/stats')).status, 403);
      });

      it('tell who changed what, and never a secret', async () => {
        const { as } = setUp();
        const created = await as(admin)
          .post('/keys')
          .set('User-Agent', 'tests')
          .send({ name: 'x', models: ['*'] });
        const { id } = created.body.key;
        await as(admin).patch(`/keys/${id}`).send({ rpmLimit: 5 });
        const { items, total } = (await as(auditor).get(`/keys/${id}/audit`)).body;
        assert.equal(total, 2);
        const [updated] = items;
        assert.deepEqual(
          [updated.action, updated.actor.id, updated.actor.role, updated.before.rpmLimit, updated.after.rpmLimit],
          ['key.updated', 'root', 'admin', null, 5],
        );
        assert.equal(items[1].actor.userAgent, 'tests');
        assert.match(items[1].actor.ip, /127\.0\.0\.1|::1/);
        assert.doesNotMatch(JSON.stringify(items), new RegExp(created.body.secret));
        assert.equal((await as(auditor).get('/keys/audit?limit=1')).body.items.length, 1);
        assert.equal((await as(auditor).get('/keys/audit?limit=0')).status, 400);
        for (const grant of [redManager, ada, { ...auditor, teamIds: ['red'] }]) {
          assert.equal((await as(grant).get('/keys/audit')).status, 403);
        }
      });
    });

    describe('policies and defaults', () => {
      it('are set and read whole', async () => {
        const { as } = setUp();
        for (const path of ['global', 'team/red', 'user/__proto__']) {
          assert.equal((await as(admin).get(`/keys/policies/${path}`)).status, 404);
          const put = await as(admin).put(`/keys/policies/${path}`).send({ models: [], rpmLimit: 5 });
          assert.deepEqual([put.status, put.body.models, put.body.rpmLimit], [200, [], 5]);
          assert.deepEqual((await as(auditor).get(`/keys/policies/${path}`)).body, put.body);
          const replaced = await as(admin).put(`/keys/policies/${path}`).send({});
          assert.deepEqual([replaced.body.models, replaced.body.rpmLimit, replaced.headers.etag], [null, null, '"2"']);
        }
        assert.equal((await as(admin).put('/keys/policies/group/x').send({})).status, 400);
        assert.equal((await as(admin).put('/keys/policies/global').send({ name: 'x' })).status, 400);
      });

      it('of its own teams are a manager’s, and of nobody else', async () => {
        const { as } = setUp();
        const put = async (grant: Grant, path: string) => (await as(grant).put(`/keys/${path}`).send({})).status;
        assert.equal(await put(redManager, 'policies/team/red'), 200);
        for (const path of ['policies/team/blue', 'policies/user/ada', 'policies/global', 'defaults']) {
          assert.equal(await put(redManager, path), 403, path);
        }
        for (const grant of [ada, auditor, service]) assert.equal(await put(grant, 'policies/team/red'), 403);
      });

      it('refuse a default above its maximum', async () => {
        const { as } = setUp();
        const put = (send: object) => as(admin).put('/keys/defaults').send(send);
        const refused = await put({ defaults: { maxBudget: 300 }, maximums: { maxBudget: 200 } });
        assert.deepEqual([refused.status, refused.body.error.code], [400, 'quota_limits_exceeded']);
        const quotas = { defaults: { maxBudget: 50 }, maximums: { maxBudget: 200 } };
        assert.deepEqual((await put(quotas)).body, { ...quotas, version: 1 });
        assert.deepEqual((await as(auditor).get('/keys/defaults')).body, { ...quotas, version: 1 });
        const { body } = await as(ada)
          .post('/keys')
          .send({ name: 'x', models: ['*'] });
        assert.equal(body.key.maxBudget, 50);
      });
    });

    describe('GET /me', () => {
      it('tells a virtual key of itself, whatever the place it is given in', async () => {
        const { app, keys } = setUp({ authorize: () => assert.fail('authorize is not for /me') });
        const { secret, key } = await keys.create({ name: 'x', models: ['*'], rpmLimit: 60, maxBudget: 2 });
        await keys.recordUsage({ id: 'one', keyId: key.id, model: 'm', inputTokens: 1, costUsd: 0.5 });
        for (const headers of [{ Authorization: `Bearer ${secret}` }, { 'x-api-key': secret }]) {
          const { status, body, headers: answered } = await request(app).get('/keys/me').set(headers);
          assert.deepEqual([status, answered['cache-control']], [200, 'no-store']);
          assert.deepEqual([body.key.id, body.spend, body.budgetRemaining, body.key.spend], [key.id, 0.5, 1.5, 0.5]);
          assert.deepEqual(
            body.limits.map(({ name, limit }: { name: string; limit: number }) => [name, limit]).sort(),
            [
              ['rpm', 60],
              ['total_budget', 2],
            ],
          );
          assert.doesNotMatch(JSON.stringify(body), new RegExp(secret));
        }
      });

      it('is unauthorized without a key that is good', async () => {
        const { app, keys } = setUp();
        const { secret, key } = await keys.create({ name: 'x', models: ['*'] });
        await keys.revoke(key.id);
        for (const authorization of ['', 'Bearer nonsense', `Basic ${secret}`, `Bearer ${secret}`]) {
          const answer = await request(app).get('/keys/me').set({ authorization });
          assert.deepEqual([answer.status, answer.body.error.code], [401, 'unauthorized']);
          assert.equal(answer.headers['www-authenticate'], 'Bearer');
        }
      });
    });

    describe('POST /verify', () => {
      it('tells whether a secret is good, and why not', async () => {
        const { as, keys } = setUp();
        const { secret, key } = await keys.create({ name: 'x', models: ['*'] });
        const verify = async (given: unknown) => as(admin).post('/keys/verify').send({ secret: given });
        assert.deepEqual((await verify(secret)).body, { valid: true, key });
        assert.deepEqual((await verify('nonsense')).body, { valid: false, reason: 'malformed' });
        await keys.revoke(key.id);
        assert.deepEqual((await verify(secret)).body, { valid: false, reason: 'revoked' });
        for (const given of [undefined, 5, null]) assert.equal((await verify(given)).status, 400);
      });

      it('refuses guesses after twenty wrong secrets from one address, and no good key', async () => {
        const { as, keys } = setUp();
        const { secret, key } = await keys.create({ name: 'x', models: ['*'] });
        const verify = async (given: string) => as(admin).post('/keys/verify').send({ secret: given });
        for (let guess = 0; guess < 20; guess += 1) {
          assert.deepEqual((await verify(mintSecret('sk-llm'))).body, { valid: false, reason: 'unknown' });
        }
        const refused = await verify(mintSecret('sk-llm'));
        assert.deepEqual(
          [refused.status, refused.body.error.code, refused.headers['retry-after']],
          [429, 'too_many_failed_attempts', '3'],
        );
        assert.deepEqual((await verify(secret)).body, { valid: true, key });
      });
    });

    it('refuses methods that a path does not have, and leaves other paths to the app', async () => {
      const { app, as } = setUp();
      const { status, headers } = await request(app).put('/keys/some-id');
      assert.deepEqual([status, headers.allow], [405, 'HEAD, GET, PATCH, DELETE']);
      assert.equal((await as(admin).post('/keys/some-id/resync')).text, 'app: no route');
      assert.equal((await as(admin).get('/keys/sync/status')).text, 'app: no route');
    });

    it('refuses a path whose percent signs hide no UTF-8', async () => {
      const { as } = setUp();
      const { status, body } = await as(admin).get('/keys/%E0%A4%A');
      const message = 'path: must be valid UTF-8';
      const details = [{ field: 'path', message: 'must be valid UTF-8' }];
      const error = { message, type: 'invalid_request_error', code: 'invalid_request', param: 'path', details };
      assert.deepEqual([status, body], [400, { error }]);
    });

    it('answers 503 when the store does not, and says why in the log alone, once a minute', async () => {
      const store = memoryStore();
      const logger = testLog();
      const { as } = setUp({
        store: { ...store, listKeys: async () => Promise.reject(new Error('connect ECONNREFUSED db-7')) },
        logger,
      });
      for (let times = 0; times < 2; times += 1) {
        const { status, body, text } = await as(admin).get('/keys');
        assert.deepEqual([status, body.error?.code], [503, 'store_unavailable']);
        assert.doesNotMatch(text, /db-7/);
      }
      assert.deepEqual(logger.lines, [
        'error: A call of the admin API found no answer in the store: connect ECONNREFUSED db-7',
      ]);
    });

    type Authorize = Parameters<typeof keysRouter>[0]['authorize'];
    type SetUp = Partial<Omit<CreateVirtualKeysOptions, 'clock'>> & {
      nowMs?: number;
      before?: express.RequestHandler;
      authorize?: Authorize;
    };

    function setUp({ nowMs = Date.UTC(2030, 5, 15, 12), before, authorize = byHeader, ...options }: SetUp = {}) {
      const logger = { warn() {}, error() {} };
      const keys = createVirtualKeys({ store: memoryStore(), clock: () => nowMs, logger, ...options });
      const app: Express = createApp();
      if (before !== undefined) app.use(before);
      app.use('/keys', keysRouter({ keys, authorize }));
      app.use((_req, _res, next) => next(new Error('no route')));
      const answer: express.ErrorRequestHandler = (error, _req, res, _next) => {
        res.status(500).send(`app: ${error.message}`);
      };
      app.use(answer);
      return {
        app,
        keys,
        as: (grant: Grant) => request.agent(app).set('x-test-grant', JSON.stringify(grant)),
        make: async (input: Partial<KeyInput>) =>
          (await keys.create({ name: 'x', ...(input.modelIds ? {} : { models: ['*'] }), ...input })).key,
      };
    }
  });
}

function byHeader(req: express.Request): Grant | null {
  const header = req.get('x-test-grant');
  return header === undefined ? null : JSON.parse(header);
}

describe('keysRouter', () => {
  const keys = createVirtualKeys({ store: memoryStore() });
  const misuses: readonly [title: string, options: unknown, message: RegExp][] = [
    ['without authorize', { keys }, /authorize must be a function/],
    ['without keys', { authorize: byHeader }, /keys must be/],
    ['with an unknown option', { keys, authorize: byHeader, autorize: 1 }, /no option "autorize"/],
    ['without options', undefined, /options/],
  ];
  for (const [title, options, message] of misuses) {
    it(`is not made ${title}`, () => {
      assert.throws(() => keysRouter(options as Parameters<typeof keysRouter>[0]), { name: 'TypeError', message });
    });
  }
});
