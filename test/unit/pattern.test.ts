import assert from 'node:assert/strict';
import fc from 'fast-check';
import { matchesPattern } from '../../lib/pattern.ts';

const text = fc.string({ unit: fc.constantFrom('g', 'p', 't', '-', '4', '*', '.', 'G'), maxLength: 6 });

describe('matchesPattern', () => {
  it('agrees with a regular expression, in which the last star alone stands for any text', () => {
    fc.assert(
      fc.property(text, text, (pattern, name) => {
        const isPrefix = pattern.endsWith('*');
        const literal = (isPrefix ? pattern.slice(0, -1) : pattern).replace(/[.*-]/g, '\\$&');
        const reference = new RegExp(`^${literal}${isPrefix ? '[^]*' : ''}$`);
        assert.equal(matchesPattern(pattern, name), reference.test(name));
      }),
      { numRuns: 3000 },
    );
  });

  it('takes names in the form they came in: one that looks alike is another one', () => {
    assert.equal(matchesPattern('caf\u00e9*', 'cafe\u0301'), false);
    assert.equal(matchesPattern('gpt-4o', 'gpt-4o\u200b'), false);
    assert.equal(matchesPattern('gpt-4o', 'GPT-4o'), false);
  });
});
