import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { storeCases } from '../../lib/testing/index.ts';

const stores = readdirSync('lib/stores', { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

describe('storeCases', () => {
  for (const store of stores) {
    it(`are run on the store of lib/stores/${store}`, () => {
      const test = readFileSync(`test/conformance/${store}.test.ts`, 'utf8');
      assert.match(test, new RegExp(`from '../../lib/stores/${store}/`));
      assert.match(test, /of storeCases\b/);
    });
  }

  it('have names of their own', () => {
    const names = storeCases.map(({ name }) => name);
    assert.deepEqual(
      names.filter((name, index) => names.indexOf(name) !== index),
      [],
    );
  });
});
