import assert from 'node:assert/strict';
import { dialectOf } from '../../../lib/http/dialect.ts';

describe('dialectOf', () => {
  const anthropic = { 'anthropic-version': '2023-06-01' };
  const gemini = { 'x-goog-api-key': 'k' };

  it('is that of the route, whatever the headers', () => {
    assert.equal(dialectOf({ dialect: 'openai' }, { ...anthropic, ...gemini }), 'openai');
    assert.equal(dialectOf({ dialect: 'anthropic' }, {}), 'anthropic');
  });

  it('is told by the headers where no route tells', () => {
    for (const route of [undefined, { dialect: null }]) {
      assert.equal(dialectOf(route, anthropic), 'anthropic');
      assert.equal(dialectOf(route, gemini), 'gemini');
      assert.equal(dialectOf(route, { ...anthropic, ...gemini }), 'anthropic');
      assert.equal(dialectOf(route, { 'x-api-key': 'k' }), 'openai');
    }
  });
});
