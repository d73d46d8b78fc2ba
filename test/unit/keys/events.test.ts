import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import type { KeyEventName } from '../../../lib/keys/events.ts';
import type { KeyChange } from '../../../lib/keys/hooks.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { admittedHold, call, createKey, storeWith, testService } from '../../support/service.ts';

describe('createVirtualKeys: on', () => {
  it('tells of every change with the key as it is, and of the usage of calls', async () => {
    const service = testService();
    const { keys } = service;
    const told: [string, object][] = [];
    const names = [
      'key.created',
      'key.updated',
      'key.rotated',
      'key.revoked',
      'key.deleted',
      'usage.recorded',
    ] as const;
    for (const name of names) keys.on(name, (event) => told.push([name, event]));
    const { key } = await createKey(service, { ownerId: 'ada' });
    const updated = await keys.update(key.id, { rpmLimit: 5 });
    const rotated = await keys.rotate(key.id, { graceSeconds: 60 });
    const hold = admittedHold(await keys.admit(call(key.id, { endpoint: '/v1/chat/completions', trace: 't' })));
    await keys.settle(hold, { inputTokens: 10, cacheReadTokens: 4, outputTokens: 5, costUsd: 0.25 });
    const revoked = await keys.revoke(key.id, { reason: 'old' });
    await keys.delete(key.id);
    assert.deepEqual(told, [
      ['key.created', { key }],
      ['key.updated', { key: updated, before: key }],
      ['key.rotated', { key: rotated.key, graceEndsAt: '2025-06-15T12:01:00.000Z' }],
      [
        'usage.recorded',
        {
          holdId: hold.holdId,
          callId: '',
          keyId: key.id,
          ownerId: 'ada',
          teamId: null,
          model: 'gpt-4o',
          endpoint: '/v1/chat/completions',
          inputTokens: 10,
          outputTokens: 5,
          cacheReadTokens: 4,
          cacheWriteTokens: 0,
          costUsd: 0.25,
          source: 'reported',
          at: '2025-06-15T12:00:00.000Z',
          trace: 't',
        },
      ],
      ['key.revoked', { key: revoked, reason: 'old' }],
      ['key.deleted', { key: revoked }],
    ]);
  });

  it('tells nobody any more once a listener is taken off', async () => {
    const service = testService();
    let told = 0;
    const off = service.keys.on('key.created', () => {
      told += 1;
    });
    await createKey(service);
    off();
    await createKey(service);
    assert.equal(told, 1);
  });

  it('knows no other events, and takes functions alone', () => {
    const { keys } = testService();
    for (const name of ['key.create', 'toString', '__proto__']) {
      assert.throws(() => keys.on(name as KeyEventName, () => undefined), {
        name: 'TypeError',
        message: new RegExp(`There is no event "${name}"; the events are key.created, `),
      });
    }
    assert.throws(() => keys.on('key.created', 'listen' as never), {
      name: 'TypeError',
      message: /must be a function/,
    });
  });

  it('logs a listener that throws or rejects, which harms neither the change nor the others', async () => {
    const service = testService();
    let told = 0;
    service.keys.on('key.created', () => {
      throw new RangeError('secret text');
    });
    const rejecting = (): unknown => Promise.reject(new SyntaxError('secret text'));
    service.keys.on('key.created', rejecting);
    service.keys.on('key.created', () => {
      told += 1;
    });
    await createKey(service);
    await setImmediate();
    assert.equal(told, 1);
    assert.deepEqual(service.log.lines.sort(), [
      'error: A listener of key.created threw RangeError',
      'error: A listener of key.created threw SyntaxError',
    ]);
  });
});

describe('createVirtualKeys: addHook', () => {
  /** Notes each step of each change, and the secret where one is shown. */
  function notes() {
    const steps: string[] = [];
    const note = (step: string) => (change: KeyChange) =>
      void steps.push(`${step} ${change.action}${change.secret === null ? '' : ` ${change.secret}`}`);
    return { steps, hook: { before: note('before'), after: note('after'), undo: note('undo') } };
  }

  it('runs before and after each change, and shows secrets to nobody else', async () => {
    const service = testService();
    const { steps, hook } = notes();
    const off = service.keys.addHook(hook);
    const { key, secret } = await createKey(service);
    const rotated = await service.keys.rotate(key.id);
    await service.keys.update(key.id, { rpmLimit: 5 });
    await service.keys.disable(key.id);
    await service.keys.enable(key.id);
    await service.keys.revoke(key.id);
    await service.keys.delete(key.id);
    const changes = [`create ${secret}`, `rotate ${rotated.secret}`, 'update', 'disable', 'enable', 'revoke', 'delete'];
    assert.deepEqual(
      steps,
      changes.flatMap((change) => [`before ${change}`, `after ${change}`]),
    );
    off();
    await createKey(service);
    assert.equal(steps.length, 2 * changes.length);
  });

  it('shows the key as it was and as it will be', async () => {
    const service = testService();
    const { key } = await createKey(service);
    const seen: (number | null | undefined)[] = [];
    service.keys.addHook({
      before: ({ key: next, before }) => void seen.push(before?.rpmLimit, next.rpmLimit),
      after: ({ key: next, before }) => void seen.push(before?.rpmLimit, next.rpmLimit),
    });
    await service.keys.update(key.id, { rpmLimit: 5 });
    assert.deepEqual(seen, [null, 5, null, 5]);
  });

  it('stores nothing when one refuses before, and undoes what those before it did', async () => {
    const service = testService();
    const { key } = await createKey(service);
    const [first, last] = [notes(), notes()];
    service.keys.addHook(first.hook);
    service.keys.addHook({
      before: async () => {
        throw new Error('the mirror refuses');
      },
    });
    service.keys.addHook(last.hook);
    for (const change of [
      () => service.keys.update(key.id, { rpmLimit: 5 }),
      () => service.keys.rotate(key.id),
      () => service.keys.revoke(key.id),
      () => service.keys.delete(key.id),
      () => createKey(service),
    ]) {
      await assert.rejects(change, { message: 'the mirror refuses' });
    }
    assert.deepEqual(await service.keys.list(), { items: [key], total: 1, nextCursor: null });
    assert.deepEqual(
      first.steps.map((step) => step.split(' ').slice(0, 2).join(' ')),
      ['update', 'rotate', 'revoke', 'delete', 'create'].flatMap((action) => [`before ${action}`, `undo ${action}`]),
    );
    assert.deepEqual(last.steps, []);
  });

  it('undoes when the store refuses', async () => {
    const service = testService({ maxActiveKeysPerOwner: 1 });
    await createKey(service, { ownerId: 'ada' });
    const { steps, hook } = notes();
    service.keys.addHook(hook);
    await assert.rejects(createKey(service, { ownerId: 'ada' }), { code: 'owner_key_limit' });
    assert.deepEqual(
      steps.map((step) => step.split(' ')[0]),
      ['before', 'undo'],
    );
  });

  it('logs what fails after a change, which stands', async () => {
    const service = testService();
    service.keys.addHook({
      after: async () => {
        throw new RangeError('secret text');
      },
    });
    const { key } = await createKey(service);
    assert.deepEqual(await service.keys.get(key.id), key);
    assert.deepEqual(service.log.lines, ['error: A hook failed after a change was decided: RangeError']);
  });

  it('marks changed keys in the outbox while a hook asks for it, in the act of the change', async () => {
    const service = testService();
    const { key } = await createKey(service);
    assert.deepEqual(await service.store.readOutbox(10), []);
    const off = service.keys.addHook({ outbox: true });
    await service.keys.update(key.id, { name: 'Other' });
    const rows = await service.store.readOutbox(10);
    assert.deepEqual(
      rows.map(({ keyId }) => keyId),
      [key.id],
    );
    await service.store.clearOutbox(rows);
    off();
    await service.keys.update(key.id, { name: 'Third' });
    assert.deepEqual(await service.store.readOutbox(10), []);
  });
});

describe('createVirtualKeys: changes whose key cannot be shown', () => {
  it('answers with what it knows when the counters are out of reach after a change was stored', async () => {
    const store = memoryStore();
    let isDown = false;
    const service = testService({
      storeTimeoutMs: 20,
      store: storeWith(store, {
        insertKey: async (...insertion) => {
          isDown = true;
          return store.insertKey(...insertion);
        },
        updateKey: async (...update) => {
          isDown = true;
          return store.updateKey(...update);
        },
        balances: async (ids) => {
          if (isDown) throw new Error('gone');
          return store.balances(ids);
        },
      }),
    });
    const events: string[] = [];
    service.keys.on('key.created', ({ key }) => events.push(key.status));
    service.keys.on('key.revoked', ({ key }) => events.push(key.status));
    const { key, secret } = await createKey(service);
    isDown = false;
    assert.deepEqual(await service.keys.verify(secret), { valid: true, key });
    const revoked = await service.keys.revoke(key.id);
    assert.equal(revoked.status, 'revoked');
    assert.deepEqual(events, ['active', 'revoked']);
  });
});
