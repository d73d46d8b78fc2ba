import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createEchoModel } from '../../../lib/testing/echo-model/echo-model.ts';
import { startExample } from '../../support/example.ts';

const file = 'examples/quick-start.ts';

describe('the quick start', () => {
  it('stands in the README byte for byte', () => {
    const readme = readFileSync('README.md', 'utf8');
    const blocks = Array.from(readme.matchAll(/^```ts\n(.*?)^```$/gms), ([, code]) => code);
    assert.equal(blocks.filter((code) => code === readFileSync(file, 'utf8')).length, 1);
  });

  it('answers a request with the secret that it prints, and an admin with the token', async () => {
    const app = await startExample('quick-start.ts', createEchoModel(), { ADMIN_TOKEN: 'of-this-test' });
    try {
      const answer = await app.post('/v1/chat/completions', {
        model: 'gpt-4o',
        messages: [{ role: 'user', content: 'good morning' }],
      });
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get('x-ratelimit-remaining-requests'), '59');
      const { usage } = (await answer.json()) as { usage: unknown };
      assert.deepEqual(usage, { prompt_tokens: 2, completion_tokens: 2, total_tokens: 4 });

      const list = await fetch(`${app.url}/api-keys`, {
        headers: { authorization: 'Bearer of-this-test' },
      });
      const { items } = (await list.json()) as { items: { name: string; spend: number }[] };
      assert.deepEqual(
        items.map(({ name, spend }) => ({ name, spend })),
        [{ name: 'Production', spend: 0.000025 }],
      );
      const stranger = await fetch(`${app.url}/api-keys`, {
        headers: { authorization: 'Bearer undefined' },
      });
      assert.equal(stranger.status, 401);
    } finally {
      await app.stop();
    }
  });
});
