import assert from 'node:assert/strict';
import type { VirtualKey } from '../../../lib/keys/shown-key.ts';
import { admittedHold, call, createKey, spend, testService } from '../../support/service.ts';

const dayMs = 86_400_000;

const operator = { id: 'ada', role: 'admin', ip: '10.0.0.1', userAgent: 'curl' };

describe('createVirtualKeys: update', () => {
  it('leaves what the patch omits, clears what it sets to null, and writes who did it', async () => {
    const service = testService();
    const { keys, clock } = service;
    const { key } = await createKey(service, { rpmLimit: 5, tpmLimit: 500, maxBudget: 3, tags: ['a'] });
    clock.advance(1000);
    const updated = await keys.update(key.id, { rpmLimit: 7, tpmLimit: null }, {}, operator);
    const expected = { ...key, rpmLimit: 7, tpmLimit: null, version: 2, updatedAt: new Date(clock()).toISOString() };
    assert.deepEqual(updated, expected);
    assert.deepEqual(await keys.get(key.id), expected);
    const { items } = await keys.audit({ keyId: key.id, action: 'key.updated' });
    assert.equal(items.length, 1);
    const [row] = items as [(typeof items)[0]];
    assert.deepEqual(row.actor, operator);
    assert.equal(row.at, new Date(clock()).toISOString());
    assert.equal((row.before as VirtualKey).tpmLimit, 500);
    assert.equal((row.after as VirtualKey).tpmLimit, null);
  });

  it('gives a renamed key another alias, and the same id and secret', async () => {
    const service = testService();
    const { key, secret } = await createKey(service, { name: 'Old' });
    const renamed = await service.keys.update(key.id, { name: 'New' });
    assert.match(renamed.alias, /^New_[0-9a-f]{8}$/);
    assert.deepEqual(await service.keys.verify(secret), { valid: true, key: renamed });
    assert.equal(renamed.id, key.id);
    const again = await service.keys.update(key.id, { name: 'New', tags: ['x'] });
    assert.equal(again.alias, renamed.alias);
  });

  it('lets one of two writers of the same version win', async () => {
    const service = testService();
    const { key } = await createKey(service);
    await service.keys.update(key.id, { tags: ['2'] });
    await service.keys.update(key.id, { tags: ['3'] });
    const outcomes = await Promise.allSettled(
      [5, 6].map((rpmLimit) => service.keys.update(key.id, { rpmLimit }, { ifVersion: 3 })),
    );
    const [won] = outcomes.filter((outcome) => outcome.status === 'fulfilled');
    const [lost] = outcomes.filter((outcome) => outcome.status === 'rejected');
    assert.equal(won?.value.version, 4);
    const { code, status, param } = lost?.reason ?? {};
    assert.deepEqual({ code, status, param }, { code: 'version_conflict', status: 409, param: 'version' });
    assert.deepEqual(await service.keys.get(key.id), won?.value);
  });

  it('makes every change of ten writers who name no version', async () => {
    const service = testService();
    const { key } = await createKey(service);
    const fields = ['rpmLimit', 'tpmLimit', 'rpdLimit', 'tpdLimit', 'maxParallelRequests', 'maxTokensPerRequest'];
    await Promise.all(fields.map((field) => service.keys.update(key.id, { [field]: 9 })));
    const updated = await service.keys.get(key.id);
    assert.deepEqual(updated, { ...key, ...Object.fromEntries(fields.map((field) => [field, 9])), version: 7 });
  });

  it('never takes usage back by a change that was read before it', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service, { maxBudget: 10 });
    await Promise.all([spend(keys, key.id, 1), keys.update(key.id, { rpmLimit: 100 }), spend(keys, key.id, 2)]);
    const { spend: spent, rpmLimit } = await keys.get(key.id);
    assert.deepEqual({ spent, rpmLimit }, { spent: 3, rpmLimit: 100 });
  });

  it('writes nothing when the one who approves refuses', async () => {
    const service = testService();
    const { key } = await createKey(service, { rpmLimit: 5 });
    const approve = (before: object, after: object) => {
      assert.notDeepEqual(before, after);
      throw new Error('not you');
    };
    await assert.rejects(service.keys.update(key.id, { rpmLimit: 6 }, { approve }), { message: 'not you' });
    assert.deepEqual(await service.keys.get(key.id), key);
  });
});

describe('createVirtualKeys: rotate', () => {
  it('changes the secret alone, and the one before it is void at once', async () => {
    const service = testService();
    const { keys } = service;
    const { key, secret } = await createKey(service, { maxBudget: 5, rpmLimit: 9 });
    await spend(keys, key.id, 1.5);
    const before = await keys.get(key.id);
    const rotated = await keys.rotate(key.id);
    const prefix = `${rotated.secret.slice(0, 8)}…${rotated.secret.slice(-4)}`;
    assert.deepEqual(rotated.key, { ...before, prefix, version: 2 });
    assert.deepEqual(await keys.verify(secret), { valid: false, reason: 'unknown' });
    assert.deepEqual(await keys.verify(rotated.secret), { valid: true, key: rotated.key });
  });

  it('keeps the secret before it until the grace is over, or the next rotation', async () => {
    const service = testService();
    const { keys, clock } = service;
    const first = await createKey(service);
    const { id } = first.key;
    const second = await keys.rotate(id, { graceSeconds: 60 });
    clock.advance(59_999);
    assert.equal((await keys.verify(first.secret)).valid, true);
    clock.advance(1);
    assert.deepEqual(await keys.verify(first.secret), { valid: false, reason: 'unknown' });
    const third = await keys.rotate(id, { graceSeconds: 60 });
    assert.equal((await keys.verify(second.secret)).valid, true);
    await keys.rotate(id, { graceSeconds: 60 });
    assert.deepEqual(await keys.verify(second.secret), { valid: false, reason: 'unknown' });
    assert.equal((await keys.verify(third.secret)).valid, true);
    await assert.rejects(keys.rotate(id, { graceSeconds: -1 }), { code: 'invalid_request', param: 'graceSeconds' });
  });
});

describe('createVirtualKeys: revoke and delete', () => {
  it('refuses every change of a revoked key, and of one that is not there', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service);
    const revoked = await keys.revoke(key.id, { reason: 'leaked' }, operator);
    assert.deepEqual(revoked, { ...key, status: 'revoked', revokedReason: 'leaked', version: 2 });
    const changes = (id: string) => [
      () => keys.update(id, { rpmLimit: 1 }),
      () => keys.rotate(id),
      () => keys.disable(id),
      () => keys.enable(id),
      () => keys.revoke(id),
    ];
    for (const change of changes(key.id)) await assert.rejects(change, { code: 'key_revoked', status: 409 });
    assert.deepEqual(await keys.get(key.id), revoked);
    await keys.delete(key.id);
    for (const change of [
      ...changes(key.id),
      () => keys.get(key.id),
      () => keys.delete(key.id),
      () => keys.resetSpend(key.id),
      () => keys.balance(key.id),
      () => keys.recordUsage({ id: 'x', keyId: key.id }),
    ]) {
      await assert.rejects(change, { code: 'key_not_found', status: 404 });
    }
    const { items } = await keys.audit({ keyId: key.id });
    assert.deepEqual(
      items.map(({ action, reason, actor }) => ({ action, reason, actor: actor.id })),
      [
        { action: 'key.deleted', reason: null, actor: 'application' },
        { action: 'key.revoked', reason: 'leaked', actor: 'ada' },
        { action: 'key.created', reason: null, actor: 'application' },
      ],
    );
  });

  it('removes the expired keys alone, keeps their usage and writes one row each', async () => {
    const service = testService();
    const { keys, clock } = service;
    const expiring = await Promise.all([1, 2, 3].map((day) => createKey(service, { expiresInDays: day })));
    const [revoked, ...lasting] = await Promise.all([1, 4, 5].map((day) => createKey(service, { expiresInDays: day })));
    await keys.revoke(revoked?.key.id ?? '');
    const [{ key }] = expiring as [(typeof expiring)[0]];
    await spend(keys, key.id, 2);
    clock.advance(3 * dayMs);
    assert.equal(await keys.deleteExpired(operator), 3);
    assert.equal(await keys.deleteExpired(operator), 0);
    const { items } = await keys.list({ status: 'active' });
    assert.deepEqual(new Set(items.map(({ id }) => id)), new Set(lasting.map((made) => made.key.id)));
    assert.equal((await keys.usage({ keyId: key.id })).totals.costUsd, 2);
    const rows = await keys.audit({ action: 'key.deleted' });
    assert.deepEqual(
      rows.items.map(({ target, actor }) => `${target} ${actor.id}`).sort(),
      expiring.map((made) => `key:${made.key.id} ada`).sort(),
    );
  });

  it('settles calls that were open when their key went, for the team and the totals', async () => {
    const service = testService();
    const { keys } = service;
    await keys.setPolicy({ team: 'red' }, { maxBudget: 10 });
    const [{ key }, other] = [await createKey(service, { teamId: 'red' }), await createKey(service, { teamId: 'red' })];
    const hold = admittedHold(await keys.admit(call(key.id, { costUsd: 3 })));
    await keys.delete(key.id);
    assert.deepEqual(await keys.admit(call(key.id)), {
      admitted: false,
      reason: 'key',
      scope: 'key',
      limit: null,
      limitName: null,
      retryAfterMs: null,
    });
    assert.deepEqual(await keys.settle(hold, { inputTokens: 5, costUsd: 4 }), { state: 'settled', costUsd: 4 });
    const { limits } = await keys.balance(other.key.id);
    assert.deepEqual(limits, [
      {
        scope: 'team',
        name: 'total_budget',
        model: null,
        limit: 10,
        used: 4,
        remaining: 6,
        resetAt: null,
      },
    ]);
    assert.equal((await keys.usage({ teamId: 'red' })).totals.costUsd, 4);
  });
});
