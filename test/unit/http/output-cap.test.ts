import assert from 'node:assert/strict';
import { capFieldsOf, withOutputCap } from '../../../lib/http/output-cap.ts';
import { createRouteTable } from '../../../lib/http/route-table.ts';

function routeOf(url: string) {
  const route = createRouteTable().locate('POST', url)?.match?.route;
  assert.ok(route !== undefined, url);
  return route;
}

describe('capFieldsOf', () => {
  const fields: readonly [url: string, fields: readonly string[] | undefined][] = [
    ['/v1/chat/completions', ['max_completion_tokens', 'max_tokens']],
    ['/openai/deployments/gpt-4o/chat/completions', ['max_completion_tokens', 'max_tokens']],
    ['/v1/completions', ['max_tokens']],
    ['/v1/responses', ['max_output_tokens']],
    ['/v1/messages', ['max_tokens']],
    ['/v1beta/models/m:streamGenerateContent', ['maxOutputTokens']],
    ['/v1/embeddings', undefined],
  ];
  for (const [url, expected] of fields) {
    it(`names what ${url} takes`, () => assert.deepEqual(capFieldsOf(routeOf(url)), expected));
  }
});

describe('withOutputCap', () => {
  it('lowers every field of the route, and leaves those of others alone', () => {
    const chat = routeOf('/v1/chat/completions');
    assert.deepEqual(withOutputCap(chat, { max_tokens: 99, max_completion_tokens: 5, max_output_tokens: 1 }, 10), {
      max_tokens: 10,
      max_completion_tokens: 5,
      max_output_tokens: 1,
    });
    assert.deepEqual(withOutputCap(chat, { max_output_tokens: 1 }, 10), {
      max_output_tokens: 1,
      max_completion_tokens: 10,
    });
  });
});
