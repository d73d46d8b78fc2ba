import assert from 'node:assert/strict';
import { createVirtualKeys } from '../../../lib/keys/create-virtual-keys.ts';
import type { CreateVirtualKeysOptions } from '../../../lib/keys/service-options.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';

describe('createVirtualKeys: options', () => {
  const make = (options: object) => () =>
    createVirtualKeys({ store: memoryStore(), ...options } as CreateVirtualKeysOptions);

  it('asks for the one that was probably meant, or names them all', () => {
    const misnamed: [given: object, message: RegExp][] = [
      [{ price: {} }, /no option "price"; did you mean "prices"\?/],
      [{ cachems: 5 }, /no option "cachems"; did you mean "cacheMs"\?/],
      [{ storeTimeout: 5 }, /no option "storeTimeout"; did you mean "storeTimeoutMs"\?/],
      [{ onAbandon: 'charge' }, /did you mean "onAbandoned"\?/],
      [{ zzz: 1 }, /no option "zzz"; the options are secretPrefix, .*clock/],
    ];
    for (const [given, message] of misnamed) assert.throws(make(given), { name: 'TypeError', message });
  });

  it('names the option whose value is of no use', () => {
    const useless: [option: string, ...values: unknown[]][] = [
      ['store', undefined, null, {}, 'memory', () => memoryStore()],
      ['prices', {}, 'free', null],
      ['unpriced', 'no', 5, null, true, [], {}, { inputPerMillion: 1 }, { inputPerMillion: -1, outputPerMillion: 1 }],
      ['secretPrefix', '', 'sk llm', 'x'.repeat(33), 5],
      ['pepper', 'pepper', {}, { id: 'a', value: 'short' }, { id: 'a b', value: 'x'.repeat(16) }],
      ['defaults', null, [], { rpmLimit: -1 }, { expiresAt: 5 }, { zzz: 1 }],
      ['maximums', null, [], { rpmLimit: null }, { tags: 5 }],
      ['maxActiveKeysPerOwner', -1, 1.5, '5', null],
      ['cacheMs', -1, Infinity, '5', null],
      ['leaseMs', 0, 999, 1e9],
      ['onAbandoned', 'keep', null, true],
      ['storeTimeoutMs', 0, 60_001],
      ['defaultOutputCap', 0, -1],
      ['minimumTokens', -1],
      ['stateTokens', -1],
      ['clock', 5, null],
      ['logger', {}, null, { warn() {} }],
    ];
    for (const [option, ...values] of useless) {
      for (const value of values) {
        assert.throws(
          make({ [option]: value }),
          (error: Error) => {
            assert.equal(error.name, 'TypeError', `${option} ${JSON.stringify(value)}`);
            assert.match(error.message, new RegExp(`^createVirtualKeys: .*${option}`));
            return true;
          },
          `${option}: ${JSON.stringify(value)}`,
        );
      }
    }
    for (const options of [undefined, null, 'x']) {
      assert.throws(() => createVirtualKeys(options as never), { name: 'TypeError', message: /give it options/ });
    }
  });

  it('refuses a default above its maximum, and options never show the pepper', () => {
    assert.throws(make({ defaults: { maxBudget: 300 }, maximums: { maxBudget: 200 } }), {
      name: 'TypeError',
      message: 'createVirtualKeys: maxBudget: 300 exceeds maximum 200',
    });
    const value = 'peppercorn';
    assert.throws(make({ pepper: { id: 'a', value } }), ({ message }: Error) => !message.includes(value));
  });

  it('takes undefined for an option that is not given', () => {
    const names = ['prices', 'unpriced', 'pepper', 'cacheMs', 'defaults', 'logger', 'clock', 'secretPrefix'];
    make(Object.fromEntries(names.map((name) => [name, undefined])))();
  });
});
