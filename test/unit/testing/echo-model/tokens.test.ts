import assert from 'node:assert/strict';
import fc from 'fast-check';
import { countTokens, textOf, tokensOf } from '../../../../lib/testing/echo-model/tokens.ts';

describe('tokensOf', () => {
  for (const [text, tokens] of [
    ['', []],
    ['Hello', ['Hello']],
    ['Hello, world', ['Hello,', ' world']],
    ['  two\n\nwords ', ['  two', '\n\nwords', ' ']],
    [' ', [' ']],
    ['zażółć 🙂 漢字', ['zażółć', ' 🙂', ' 漢字']],
  ] as const) {
    it(`splits ${JSON.stringify(text)} into ${tokens.length}`, () => {
      assert.deepEqual(tokensOf(text), tokens);
    });
  }

  it('loses nothing of any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        assert.equal(tokensOf(text).join(''), text);
      }),
    );
  });

  it('takes no longer than the text is, for white space alone', () => {
    const startMs = performance.now();
    tokensOf(' '.repeat(2_000_000));
    assert.ok(performance.now() - startMs < 2000);
  });
});

describe('countTokens and textOf', () => {
  for (const [where, content] of [
    ['a text', 'two words'],
    ['messages', [{ role: 'user', content: 'two words' }]],
    [
      'parts of messages',
      [
        {
          content: [
            { type: 'text', text: 'two words' },
            { type: 'image_url', image_url: {} },
          ],
        },
      ],
    ],
    ['contents of Gemini', [{ role: 'user', parts: [{ text: 'two words' }, { inlineData: { data: 'AAAA' } }] }]],
    ['one content', { parts: [{ text: 'two words' }] }],
  ] as const) {
    it(`read ${where}`, () => {
      assert.deepEqual([countTokens(content), textOf(content)], [2, 'two words']);
    });
  }

  it('read texts of several parts as lines', () => {
    assert.equal(textOf([{ text: 'one' }, { text: 'two' }]), 'one\ntwo');
  });

  it('give up on what is nested without an end', () => {
    let nested: unknown = 'deep';
    for (let depth = 0; depth < 100_000; depth += 1) nested = [nested];
    assert.equal(countTokens(nested), 0);
  });
});
