import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { createEchoModel } from '../../../lib/testing/echo-model/echo-model.ts';
import { type RunningExample, startExample } from '../../support/example.ts';
import { charge } from '../../support/usage-events.ts';

describe('the example of an Anthropic route', () => {
  const model = createEchoModel();
  let app: RunningExample;
  let client: Anthropic;
  const question = {
    model: 'claude-sonnet-5',
    max_tokens: 100,
    messages: [{ role: 'user' as const, content: 'is it raining' }],
  };

  before(async () => {
    app = await startExample('anthropic.ts', model);
    client = new Anthropic({ baseURL: app.url, apiKey: app.secret, maxRetries: 0 });
  });
  after(() => app.stop());

  it('answers whole and as a stream, and charges what the upstream told', async () => {
    const whole = await client.messages.create(question);
    assert.deepEqual(whole.content, [{ type: 'text', text: 'is it raining' }]);
    assert.equal(await client.messages.stream(question).finalText(), 'is it raining');
    const told = { model: 'claude-sonnet-5', inputTokens: 3, outputTokens: 3, costUsd: 0.000054, source: 'reported' };
    assert.deepEqual((await app.charges(2)).map(charge), [told, told]);
  });

  it('counts tokens for nothing', async () => {
    const { max_tokens, ...counted } = question;
    assert.ok(max_tokens);
    assert.deepEqual(await client.messages.countTokens(counted), { input_tokens: 3 });
    assert.equal(model.requests.at(-1)?.url, '/v1/messages/count_tokens');
  });

  it('sends the key of the provider upstream, and never the virtual one', () => {
    assert.deepEqual([...new Set(model.requests.map(({ headers }) => headers['x-api-key']))], ['of-the-provider']);
    assert.ok(!JSON.stringify(model.requests).includes(app.secret));
  });

  it('refuses in the words of Anthropic', async () => {
    await assert.rejects(
      client.messages.create({ ...question, model: 'claude-opus-5' }),
      (error) => error instanceof Anthropic.PermissionDeniedError && error.type === 'permission_error',
    );
  });
});
