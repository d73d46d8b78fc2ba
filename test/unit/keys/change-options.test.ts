import assert from 'node:assert/strict';
import type { KeyHook } from '../../../lib/keys/hooks.ts';
import type { VirtualKeys } from '../../../lib/keys/virtual-keys.ts';
import { admittedHold, call, createKey, testService } from '../../support/service.ts';

/** What callers without types, or with a slip of the finger, hand over. */
type Loose = { [name in keyof VirtualKeys]: (...given: unknown[]) => Promise<unknown> };

const actor = { id: 'ops', role: 'admin', ip: '10.0.0.1', userAgent: '' };

async function withKey() {
  const service = testService();
  const { key, secret } = await createKey(service);
  return { ...service, key, secret, loose: service.keys as unknown as Loose };
}

describe('createVirtualKeys: options of changes', () => {
  const misuses: readonly [title: string, method: keyof VirtualKeys, given: readonly unknown[], problem: string][] = [
    ['a misspelt grace', 'rotate', [{ grace: 60 }], 'grace: there is no field "grace"; did you mean "graceSeconds"?'],
    ['a bare grace', 'rotate', [60], 'options: must be of type object'],
    ['no options at all', 'rotate', [null], 'options: must be of type object'],
    ['a grace of half a second', 'rotate', [{ graceSeconds: 0.5 }], 'graceSeconds: must be an integer'],
    ['a grace of null', 'rotate', [{ graceSeconds: null }], 'graceSeconds: must be a number'],
    [
      'a grace of more than thirty days',
      'rotate',
      [{ graceSeconds: 2_592_001 }],
      'graceSeconds: must be less than or equal to 2592000',
    ],
    ['a version in letters', 'rotate', [{ ifVersion: '1' }], 'ifVersion: must be a number'],
    ['a bare reason', 'revoke', ['leaked'], 'options: must be of type object'],
    ['a misspelt reason', 'revoke', [{ reasons: 'x' }], 'reasons: there is no field "reasons"; did you mean "reason"?'],
    ['an actor among the options', 'update', [{ name: 'B' }, { id: 'ops' }], 'id: there is no field "id"'],
    ['a bare actor for options', 'update', [{ name: 'B' }, 'ops'], 'options: must be of type object'],
    ['null for options', 'update', [{ name: 'B' }, null], 'options: must be of type object'],
    ['an approval that is no function', 'update', [{}, { approve: true }], 'approve: must be of type function'],
    ['a bare actor', 'update', [{ name: 'B' }, {}, 'ops'], 'actor: must be of type object'],
    ['a bare actor', 'rotate', [{}, 'ops'], 'actor: must be of type object'],
    ['a bare actor', 'revoke', [{}, 'ops'], 'actor: must be of type object'],
    ['a bare actor', 'disable', ['ops'], 'actor: must be of type object'],
    ['a bare actor', 'enable', ['ops'], 'actor: must be of type object'],
    ['a bare actor', 'delete', ['ops'], 'actor: must be of type object'],
    ['a bare actor', 'resetSpend', ['ops'], 'actor: must be of type object'],
    ['an actor without an id', 'disable', [{ role: 'admin' }], 'actor.id: is required'],
    [
      'an actor of another kind',
      'disable',
      [{ id: 'ops', actorId: 'ops' }],
      'actor.actorId: there is no field "actorId"',
    ],
  ];

  for (const [title, method, given, problem] of misuses) {
    it(`${method} refuses ${title}, and changes nothing`, async () => {
      const { keys, key, secret, loose } = await withKey();
      const heard: string[] = [];
      keys.addHook({ before: ({ action }) => void heard.push(action) });
      await assert.rejects(loose[method](key.id, ...given), {
        name: 'InvalidRequestError',
        code: 'invalid_request',
        status: 400,
        message: problem,
        param: problem.split(':')[0],
      });
      assert.deepEqual(await keys.verify(secret), { valid: true, key });
      assert.equal((await keys.audit({ keyId: key.id })).total, 1);
      assert.deepEqual(heard, []);
    });
  }

  it('refuses a bare actor also where no key is named', async () => {
    const { keys, loose } = await withKey();
    const refused = { code: 'invalid_request', message: 'actor: must be of type object' };
    await assert.rejects(loose.create({ name: 'B', models: ['*'] }, 'ops'), refused);
    await assert.rejects(loose.deleteExpired('ops'), refused);
    await assert.rejects(loose.setPolicy('global', { rpmLimit: 1 }, 'ops'), refused);
    await assert.rejects(loose.setDefaults({ defaults: { rpmLimit: 1 } }, 'ops'), refused);
    assert.equal(await keys.getPolicy('global'), undefined);
    assert.equal((await keys.count()).total, 1);
    assert.equal((await keys.getDefaults()).version, 0);
  });

  it('takes all that an actor and options have', async () => {
    const { keys, key } = await withKey();
    await keys.update(key.id, { name: 'B' }, { ifVersion: 1, approve: () => undefined }, actor);
    await keys.rotate(key.id, { graceSeconds: 2_592_000, ifVersion: 2 }, actor);
    await keys.revoke(key.id, { reason: 'leaked' }, actor);
    const { items } = await keys.audit({ keyId: key.id });
    assert.deepEqual(
      items.map((row) => [row.action, row.actor, row.reason]),
      [
        ['key.revoked', actor, 'leaked'],
        ['key.rotated', actor, null],
        ['key.updated', actor, null],
        ['key.created', { id: 'application' }, null],
      ],
    );
  });

  it('close refuses a misspelt timeout, and the service goes on', async () => {
    const { keys, key, loose } = await withKey();
    await assert.rejects(loose.close({ timeout: 5 }), {
      code: 'invalid_request',
      message: 'timeout: there is no field "timeout"; did you mean "timeoutMs"?',
    });
    await assert.rejects(loose.close(5), { code: 'invalid_request', message: 'options: must be of type object' });
    await assert.rejects(keys.close({ timeoutMs: -1 }), { code: 'invalid_request', param: 'timeoutMs' });
    assert.equal((await keys.admit(call(key.id))).admitted, true);
    await keys.close();
  });
});

describe('createVirtualKeys: hooks that would do nothing', () => {
  it('are refused', () => {
    const { keys } = testService();
    const hooks: readonly [hook: unknown, message: string][] = [
      [{ befor() {} }, 'befor: there is no field "befor"; did you mean "before"?'],
      [{}, 'hook: must have before, after, undo or outbox: true'],
      [{ outbox: false }, 'hook: must have before, after, undo or outbox: true'],
      [{ before: 'x' }, 'before: must be of type function'],
      [null, 'hook: must be of type object'],
      [undefined, 'hook: is required'],
      [() => undefined, 'hook: must be of type object'],
    ];
    for (const [hook, message] of hooks) {
      assert.throws(() => keys.addHook(hook as KeyHook), { name: 'InvalidRequestError', message });
    }
  });

  it('are not those of a class, whatever else its instances hold', async () => {
    class Mirror implements KeyHook {
      readonly seen: string[] = [];
      after({ key }: { key: { name: string } }) {
        this.seen.push(key.name);
      }
    }
    const service = testService();
    const mirror = new Mirror();
    service.keys.addHook(mirror);
    await createKey(service, { name: 'Mirrored' });
    assert.deepEqual(mirror.seen, ['Mirrored']);
  });
});

describe('createVirtualKeys: calls that are given wrongly', () => {
  it('are refused by the name of what is wrong, and take nothing', async () => {
    const { keys, key, loose } = await withKey();
    const misspelt = { keyId: key.id, model: 'gpt-4o', tokens: 1, token: 10 };
    const refusals: readonly [answer: Promise<unknown>, message: string][] = [
      [loose.admit(undefined), 'input: must be an object such as { keyId, model, tokens }'],
      [loose.admit('x'), 'input: must be an object such as { keyId, model, tokens }'],
      [loose.admit(misspelt), 'token: there is no field "token"; did you mean "tokens"?'],
      [loose.recordUsage(undefined), 'input: must be an object such as { id, keyId, model }'],
      [
        loose.recordUsage({ id: '1', keyId: key.id, inputToken: 5 }),
        'inputToken: there is no field "inputToken"; did you mean "inputTokens"?',
      ],
    ];
    for (const [answer, message] of refusals) await assert.rejects(answer, { code: 'invalid_request', message });
    assert.equal((await keys.balance(key.id)).openRequests, 0);
    const hold = admittedHold(await keys.admit(call(key.id)));
    await assert.rejects(loose.extend(hold, { model: 'gpt-4o', tokens: 1, token: 1 }), { param: 'token' });
  });
});
