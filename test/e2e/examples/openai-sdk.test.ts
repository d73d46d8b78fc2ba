import assert from 'node:assert/strict';
import { createEchoModel } from '../../../lib/testing/echo-model/echo-model.ts';
import { type RunningExample, startExample } from '../../support/example.ts';
import { charge } from '../../support/usage-events.ts';

describe('the example of a handler with the OpenAI SDK', () => {
  const model = createEchoModel({
    behaviour: ({ body }) =>
      JSON.stringify(body).includes('too often') ? { status: 429, headers: { 'x-should-retry': 'false' } } : {},
  });
  let app: RunningExample;

  before(async () => {
    app = await startExample('openai-sdk.ts', model);
  });
  after(() => app.stop());

  it('streams a text of its own, and charges what the SDK was told', async () => {
    const answer = await app.post('/ask', { question: 'is it raining' });
    assert.equal(answer.headers.get('content-type'), 'text/plain; charset=utf-8');
    assert.equal(await answer.text(), 'is it raining');
    const [event, ...others] = await app.charges(1);
    assert.deepEqual(others, []);
    assert.deepEqual(event && charge(event), {
      model: 'gpt-4o-mini',
      inputTokens: 3,
      outputTokens: 3,
      costUsd: 0.00000225,
      source: 'reported',
    });
  });

  it('sends the key of the provider upstream, and never the virtual one', async () => {
    assert.deepEqual(
      model.requests.map(({ headers }) => headers.authorization),
      ['Bearer of-the-provider'],
    );
    assert.ok(!JSON.stringify(model.requests).includes(app.secret));
  });

  it('answers by the status when the SDK throws that it was refused', async () => {
    const answer = await app.post('/ask', { question: 'too often' });
    assert.equal(answer.status, 429);
    assert.deepEqual(await answer.json(), {
      error: { code: null, message: '429 The echo model was asked to fail' },
    });
  });

  it('asks nothing upstream without a good key', async () => {
    const asked = model.requests.length;
    const answer = await app.post('/ask', { question: 'is it raining' }, { authorization: 'Bearer nobody' });
    assert.equal(answer.status, 401);
    assert.equal(model.requests.length, asked);
  });
});
