import assert from 'node:assert/strict';
import { expectedVersion } from '../../../../lib/http/router/version.ts';

describe('expectedVersion', () => {
  const current = 3;
  const cases: readonly [ifMatch: string | undefined, version: unknown, expected: number | undefined][] = [
    [undefined, undefined, undefined],
    ['*', undefined, undefined],
    [undefined, 2, 2],
    ['"3"', undefined, 3],
    ['W/"3"', undefined, 3],
    ['"1", W/"3"', undefined, 3],
    ['"2"', undefined, 0],
    ['"abc"', undefined, 0],
    ['3', undefined, 0],
    ['"2", "3"', 2, 2],
    ['*', 2, 2],
  ];
  for (const [ifMatch, version, expected] of cases) {
    it(`is ${expected ?? 'any'} for If-Match ${ifMatch ?? 'absent'} and version ${version ?? 'absent'}`, () => {
      assert.equal(expectedVersion(ifMatch, version, current), expected);
    });
  }

  it('refuses a version that is none, or that If-Match contradicts', () => {
    for (const [ifMatch, version] of [
      [undefined, '3'],
      [undefined, 0],
      [undefined, null],
      ['"3"', 2],
    ] as const) {
      assert.throws(() => expectedVersion(ifMatch, version, current), { code: 'invalid_request', param: 'version' });
    }
  });
});
