import assert from 'node:assert/strict';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import type { Store } from '../../../lib/stores/store.ts';
import { admittedHold, call, createKey, storeWith, testService } from '../../support/service.ts';

/** Values that a store gives for a record that people or failures have damaged. */
const nonsense: readonly unknown[] = [
  null,
  42,
  'text',
  [],
  {},
  { models: ['*'] },
  { models: null, endpoints: null, version: 1, revision: 1, createdAtMs: 0, updatedAtMs: 0 },
];

/** A service on a store where one record of one kind cannot be read. */
async function damaged(kind: 'findKey' | 'findPolicy', name: (keyId: string) => string, given: unknown) {
  const store = memoryStore();
  let damagedName = '';
  const find = async (id: never) => (id === damagedName ? given : store[kind](id));
  const service = testService({ store: storeWith(store, { [kind]: find } as Partial<Store>) });
  const [bad, good] = [await createKey(service, { teamId: 'red' }), await createKey(service)];
  const hold = admittedHold(await service.keys.admit(call(bad.key.id)));
  damagedName = name(bad.key.id);
  service.clock.advance(10_000);
  const events: object[] = [];
  service.keys.on('record.corrupt', (event) => events.push(event));
  return { ...service, bad, good, events, hold };
}

describe('createVirtualKeys: records that cannot be read', () => {
  it('denies the key, tells of it, and runs on for everybody else', async () => {
    for (const given of nonsense) {
      const { keys, bad, good, events, log, hold } = await damaged('findKey', (keyId) => keyId, given);
      const { id } = bad.key;
      assert.deepEqual(await keys.verify(bad.secret), { valid: false, reason: 'unknown' });
      const corrupt = { scope: 'key', id };
      assert.deepEqual(events, [corrupt], JSON.stringify(given));
      const line = `error: The record of key:${id} cannot be read; it denies until it is mended`;
      assert.deepEqual(log.lines, [line]);
      const refused = await keys.admit(call(id));
      assert.ok(!refused.admitted);
      assert.equal(refused.reason, 'key');
      await assert.rejects(keys.get(id), { code: 'key_not_found' });
      await assert.rejects(keys.update(id, { rpmLimit: 1 }), { code: 'key_not_found' });
      assert.equal((await keys.settle(hold, {})).state, 'settled');
      assert.equal((await keys.verify(good.secret)).valid, true);
      assert.equal((await keys.admit(call(good.key.id))).admitted, true);
      assert.ok(log.lines.every((logged) => logged === line));
    }
  });

  it('denies everything under a policy that cannot be read, and nothing else', async () => {
    for (const given of nonsense) {
      const { keys, bad, good, events, log } = await damaged('findPolicy', () => 'team:red', given);
      const endpoint = '/v1/chat/completions';
      for (const fields of [{}, { endpoint }]) {
        const refused = await keys.admit(call(bad.key.id, fields));
        assert.ok(!refused.admitted);
        assert.deepEqual([refused.reason, refused.scope], ['model', 'team']);
      }
      const withoutModel = await keys.admit(call(bad.key.id, { model: null, tokens: 0 }));
      assert.ok(!withoutModel.admitted);
      assert.deepEqual(events, [{ scope: 'team', id: 'red' }], JSON.stringify(given));
      assert.deepEqual(log.lines, ['error: The record of team:red cannot be read; it denies until it is mended']);
      assert.equal((await keys.admit(call(good.key.id))).admitted, true);
      await assert.rejects(keys.getPolicy({ team: 'red' }), { code: 'store_unavailable' });
    }
  });

  it('takes a secret for unknown whose owner cannot be read', async () => {
    for (const given of nonsense) {
      const store = memoryStore();
      const service = testService({ store: storeWith(store, { findKeyByHash: async () => given as undefined }) });
      const { secret } = await createKey(service);
      assert.deepEqual(await service.keys.verify(secret), { valid: false, reason: 'unknown' }, JSON.stringify(given));
    }
  });

  it('hears of records that the store itself could not read', () => {
    const store = memoryStore();
    let notify: Parameters<Store['open']>[0]['onNotice'] = () => undefined;
    const { keys, log } = testService({
      store: storeWith(store, {
        open: (environment) => {
          notify = environment.onNotice;
          return store.open(environment);
        },
      }),
    });
    const events: object[] = [];
    keys.on('record.corrupt', (event) => events.push(event));
    notify({ type: 'corrupt', scopeId: 'global' });
    notify({ type: 'corrupt', scopeId: 'user:a:b' });
    assert.deepEqual(events, [
      { scope: 'global', id: '' },
      { scope: 'user', id: 'a:b' },
    ]);
    assert.equal(log.lines.length, 2);
  });
});
