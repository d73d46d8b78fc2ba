import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { FencePendingError } from '../../../lib/errors.ts';
import { RotationPendingError } from '../../../lib/keys/pending-fence.ts';
import { combineStores } from '../../../lib/stores/combined/combine-stores.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { createKey, testService } from '../../support/service.ts';

/** A service whose counters hear of no change. */
function pendingService() {
  const ledger = memoryStore();
  const store = combineStores({
    records: memoryStore(),
    ledger: {
      ...ledger,
      fence: async () => {
        throw new Error('down');
      },
    },
  });
  const service = testService({ store });
  const told: string[] = [];
  for (const name of ['key.created', 'key.updated', 'key.rotated', 'key.revoked', 'key.deleted'] as const) {
    service.keys.on(name, () => void told.push(name));
  }
  const hooks: string[] = [];
  service.keys.addHook({
    after: ({ action }) => void hooks.push(`after ${action}`),
    undo: ({ action }) => void hooks.push(`undo ${action}`),
  });
  return { ...service, told, hooks };
}

const isPending = (error: unknown) => error instanceof FencePendingError && error.code === 'fence_pending';

describe('createVirtualKeys: changes of which the counters have yet to hear', () => {
  it('answer the creation of a key all the same, since its secret is shown this once', async () => {
    const service = pendingService();
    const { key, secret } = await createKey(service);
    assert.deepEqual(await service.keys.verify(secret), { valid: true, key: await service.keys.get(key.id) });
  });

  it('give the new secret of a rotation with the error, where no log and no JSON shows it', async () => {
    const service = pendingService();
    const { keys, told, hooks } = service;
    const { key, secret: old } = await createKey(service);
    const error = await keys.rotate(key.id).catch((thrown: unknown) => thrown);
    assert.ok(isPending(error) && error instanceof RotationPendingError);
    const rotated = error.rotated();
    assert.deepEqual(await keys.verify(rotated.secret), { valid: true, key: rotated.key });
    assert.equal(rotated.key.version, 2);
    assert.deepEqual(await keys.verify(old), { valid: false, reason: 'unknown' });
    assert.deepEqual(
      [told, hooks],
      [
        ['key.created', 'key.rotated'],
        ['after create', 'after rotate'],
      ],
    );
    const shown = [inspect(error, { showHidden: true, depth: 9 }), JSON.stringify(error), JSON.stringify({ ...error })];
    shown.push(`${error}`, error.stack ?? '', inspect(structuredClone(error)));
    for (const text of shown) assert.ok(!text.includes(rotated.secret), text);
  });

  it('are told to listeners and hooks, since they are made', async () => {
    const service = pendingService();
    const { keys, told, hooks } = service;
    const { key } = await createKey(service);
    await assert.rejects(keys.update(key.id, { rpmLimit: 1 }), isPending);
    await assert.rejects(keys.revoke(key.id), isPending);
    assert.equal((await keys.get(key.id)).status, 'revoked');
    await assert.rejects(keys.delete(key.id), isPending);
    assert.deepEqual(told, ['key.created', 'key.updated', 'key.revoked', 'key.deleted']);
    assert.deepEqual(hooks, ['after create', 'after update', 'after revoke', 'after delete']);
  });
});
