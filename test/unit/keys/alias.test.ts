import assert from 'node:assert/strict';
import fc from 'fast-check';
import { createAlias } from '../../../lib/keys/alias.ts';

describe('createAlias', () => {
  const stems: readonly [name: string, stem: string][] = [
    ['Production Key!!', 'Production-Key'],
    ['a'.repeat(80), 'a'.repeat(50)],
    [`${'a'.repeat(49)} b`, 'a'.repeat(49)],
    ['日本', 'api-key'],
    ['!!!', 'api-key'],
    ['', 'api-key'],
    ['__-__', 'api-key'],
    ['team_a / staging', 'team_a-staging'],
    ['  spaced   out  ', 'spaced-out'],
    ['../../etc/passwd', 'etc-passwd'],
    ['a\u0000\nb', 'a-b'],
    ['__proto__', 'proto'],
  ];
  for (const [name, stem] of stems) {
    it(`makes ${stem}_… of ${JSON.stringify(name)}`, () => {
      assert.match(createAlias(name), new RegExp(`^${stem}_[0-9a-f]{8}$`));
    });
  }

  it('makes another alias of the same name each time', () => {
    assert.equal(new Set(Array.from({ length: 200 }, () => createAlias('Production'))).size, 200);
  });

  it('makes at most 59 plain characters of any name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (name) => {
        assert.match(createAlias(name), /^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,48}[A-Za-z0-9])?_[0-9a-f]{8}$/);
      }),
    );
  });
});
