import assert from 'node:assert/strict';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { createKey, testService } from '../../support/service.ts';

describe('createVirtualKeys: verify', () => {
  it('tells whose a secret is, or why it is refused', async () => {
    const service = testService();
    const { keys, clock } = service;
    const { key, secret } = await createKey(service);
    assert.deepEqual(await keys.verify(secret), { valid: true, key });
    const mistyped = secret.slice(0, -1) + (secret.endsWith('0') ? '1' : '0');
    assert.deepEqual(await keys.verify(mistyped), { valid: false, reason: 'malformed' });
    assert.deepEqual(await keys.verify('hello'), { valid: false, reason: 'malformed' });
    assert.deepEqual(await keys.verify(undefined as unknown as string), { valid: false, reason: 'malformed' });
    const stranger = await createKey(testService());
    assert.deepEqual(await keys.verify(stranger.secret), { valid: false, reason: 'unknown' });
    await keys.disable(key.id);
    assert.deepEqual(await keys.verify(secret), { valid: false, reason: 'disabled' });
    await keys.enable(key.id);
    assert.equal((await keys.verify(secret)).valid, true);
    await keys.update(key.id, { expiresAt: clock() + 100 });
    clock.advance(99);
    assert.equal((await keys.verify(secret)).valid, true);
    clock.advance(1);
    assert.deepEqual(await keys.verify(secret), { valid: false, reason: 'expired' });
    await keys.revoke(key.id);
    assert.deepEqual(await keys.verify(secret), { valid: false, reason: 'revoked' });
    await keys.delete(key.id);
    assert.deepEqual(await keys.verify(secret), { valid: false, reason: 'unknown' });
  });

  it('keeps keys valid when a pepper is introduced, and when it is rotated', async () => {
    const [store, value] = [memoryStore(), 'sixteen bytes or more'];
    const plain = testService({ store });
    const before = await createKey(plain);
    const first = testService({ store, clock: plain.clock, pepper: { id: 'p1', value } });
    const during = await createKey(first);
    const pepper = { id: 'p2', value: Buffer.alloc(32, 7), previous: [{ id: 'p1', value }] };
    const second = testService({ store, clock: plain.clock, pepper });
    const after = await createKey(second);
    for (const { secret, key } of [before, during, after]) {
      assert.deepEqual(await second.keys.verify(secret), { valid: true, key });
    }
    assert.deepEqual(await plain.keys.verify(after.secret), { valid: false, reason: 'unknown' });
    const rotated = await second.keys.rotate(before.key.id);
    assert.deepEqual(await second.keys.verify(before.secret), { valid: false, reason: 'unknown' });
    assert.equal((await second.keys.verify(rotated.secret)).valid, true);
  });
});
