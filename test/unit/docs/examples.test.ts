import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

const examples = readdirSync('examples');
const files = examples.filter((name) => name.endsWith('.ts') && name !== 'quick-start.ts');

describe('the examples', () => {
  it('are all linked in the README', () => {
    const readme = readFileSync('README.md', 'utf8');
    assert.deepEqual(
      examples.filter((name) => !readme.includes(`(examples/${name}`)),
      [],
    );
  });

  it('have a test each, which runs them', () => {
    assert.deepEqual(
      files.filter((name) => !existsSync(`test/e2e/examples/${name.replace('.ts', '.test.ts')}`)),
      [],
    );
  });
});
