import assert from 'node:assert/strict';
import { createEchoModel } from '../../../lib/testing/index.ts';
import { startExample } from '../../support/example.ts';
import { postgresServer } from '../../support/services/postgres-server.ts';
import { newSchema } from '../../support/services/random-name.ts';

const body = { model: 'gpt-4o', max_tokens: 5, messages: [{ role: 'user', content: 'Hello' }] };

describe('examples/postgres.ts', () => {
  it('serves a key in a process that has not made it', async () => {
    const env = { DATABASE_URL: (await postgresServer()).url, DATABASE_SCHEMA: newSchema() };
    const one = await startExample('postgres.ts', createEchoModel(), env);
    const two = await startExample('postgres.ts', createEchoModel(), env);
    try {
      const answer = await two.post('/v1/chat/completions', body, { authorization: `Bearer ${one.secret}` });
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get('x-ratelimit-remaining-requests'), '59');
      const next = await one.post('/v1/chat/completions', body);
      assert.equal(next.headers.get('x-ratelimit-remaining-requests'), '58');
      const [charge] = await two.charges(1);
      assert.equal(charge?.model, 'gpt-4o');
    } finally {
      await Promise.all([one.stop(), two.stop()]);
    }
  });
});
