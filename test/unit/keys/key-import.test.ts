import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { internalsOf } from '../../../lib/keys/internals.ts';
import { createKey, testService } from '../../support/service.ts';

const secret = 'sk-1234567890abcdefghijkl';
const digest = createHash('sha256').update(secret).digest('hex');
const imported = { input: { name: 'elsewhere', models: ['*'] }, digest, prefix: 'sk-…ijkl', isDisabled: false };

describe('createVirtualKeys: imported keys', () => {
  it('are good by their own secret where imported secrets are accepted', async () => {
    const { keys } = testService({ importedSecrets: true });
    assert.deepEqual(await keys.verify(secret), { valid: false, reason: 'unknown' });
    const key = await internalsOf('test', keys).importKey(imported, { id: 'ada' });
    assert.deepEqual(await keys.verify(secret), { valid: true, key });
    assert.deepEqual([key?.name, key?.prefix, key?.models, key?.status], ['elsewhere', 'sk-…ijkl', ['*'], 'active']);
    const { items } = await keys.audit({ keyId: key?.id ?? '' });
    assert.deepEqual(
      items.map(({ action, actor, before }) => ({ action, actor, before })),
      [{ action: 'key.imported', actor: { id: 'ada' }, before: null }],
    );
    assert.ok(!JSON.stringify(items).includes(digest));
  });

  it('are not looked up elsewhere: a foreign text is malformed', async () => {
    const { keys } = testService();
    await internalsOf('test', keys).importKey(imported);
    assert.deepEqual(await keys.verify(secret), { valid: false, reason: 'malformed' });
  });

  it('are found under a pepper too, which does not cover them', async () => {
    const pepper = { id: 'p1', value: 'sixteen bytes or more' };
    const { keys } = testService({ importedSecrets: true, pepper });
    await internalsOf('test', keys).importKey(imported);
    assert.equal((await keys.verify(secret)).valid, true);
  });

  it('begin disabled where they were blocked', async () => {
    const { keys } = testService({ importedSecrets: true });
    const key = await internalsOf('test', keys).importKey({ ...imported, isDisabled: true });
    assert.equal(key?.status, 'disabled');
    assert.deepEqual(await keys.verify(secret), { valid: false, reason: 'disabled' });
  });

  it('are made once, and not where their secret is one of a key already', async () => {
    const pepper = { id: 'p1', value: 'sixteen bytes or more' };
    const service = testService({ importedSecrets: true, pepper });
    const { importKey } = internalsOf('test', service.keys);
    const made = await Promise.all(Array.from({ length: 8 }, () => importKey(imported)));
    assert.equal(made.filter((key) => key !== undefined).length, 1);
    const own = await createKey(service);
    const ownDigest = createHash('sha256').update(own.secret).digest('hex');
    assert.equal(await importKey({ ...imported, digest: ownDigest }), undefined);
    assert.equal((await service.keys.count()).total, 2);
  });

  it('are held against the maximums, and get no defaults', async () => {
    const { keys } = testService({ importedSecrets: true, maximums: { rpmLimit: 10 }, defaults: { rpmLimit: 5 } });
    const { importKey } = internalsOf('test', keys);
    await assert.rejects(importKey(imported), { code: 'quota_limits_exceeded' });
    await assert.rejects(importKey({ ...imported, input: { ...imported.input, rpmLimit: 11 } }), {
      code: 'quota_limits_exceeded',
    });
    const key = await importKey({ ...imported, input: { ...imported.input, rpmLimit: 10 } });
    assert.equal(key?.rpmLimit, 10);
  });

  it('may have any text for a secret that begins with sk-, and no other', async () => {
    const { secrets } = internalsOf('test', testService({ importedSecrets: true }).keys);
    const own = secrets.mint();
    const mistyped = own.slice(0, -1) + (own.endsWith('0') ? '1' : '0');
    const texts = [secret, 'sk-x', own, mistyped, 'eyJhbGciOi', `sk-${'x'.repeat(510)}`];
    assert.deepEqual(
      texts.map((text) => secrets.mayBeImported(text)),
      [true, true, false, false, false, false],
    );
  });
});
