import assert from 'node:assert/strict';
import request from 'supertest';
import { getLlm, type LlmContext } from '../../../lib/http/context.ts';
import { requireApiKey } from '../../../lib/http/require-api-key.ts';
import { guardedApp, lastResort, onEachExpress } from '../../support/apps.ts';
import { createKey, testService } from '../../support/service.ts';

onEachExpress('getLlm', (createApp) => {
  it('tells whose key a request carries and what it is for, as req.llm does', async () => {
    const { keys } = testService();
    const { key, secret } = await createKey({ keys }, { name: 'Ada', ownerId: 'ada', maxBudget: null });
    const contexts: LlmContext[] = [];
    const app = guardedApp(createApp, { keys }, (req, res) => {
      assert.equal((req as unknown as { llm: LlmContext }).llm, getLlm(req));
      contexts.push(getLlm(req));
      res.json({});
    });
    const { headers } = await request(app)
      .post('/v1/messages')
      .set('x-api-key', secret)
      .send({ model: 'claude-3', messages: [], max_tokens: 5 });
    const [llm] = contexts;
    assert.deepEqual(
      {
        ...llm,
        key: llm?.key?.id,
        hold: llm?.hold?.subject,
        signal: llm?.signal.aborted,
        usage: null,
        fetch: null,
        record: null,
      },
      {
        state: 'authenticated',
        requestId: headers['x-request-id'],
        key: key.id,
        model: 'claude-3',
        endpoint: '/v1/messages',
        hold: { keyId: key.id, ownerId: 'ada', teamId: null, model: 'claude-3', endpoint: '/v1/messages' },
        signal: false,
        usage: null,
        fetch: null,
        record: null,
      },
    );
    const shown = JSON.stringify(llm?.key);
    assert.ok(!shown.includes(secret) && !/hash/i.test(shown));
  });

  it('leaves req.llm to an app that sets it', async () => {
    const { keys } = testService();
    const app = createApp().use(requireApiKey({ keys, optional: true }), (req, res) => {
      Object.assign(req, { llm: 'its own' });
      res.json({ ...getLlm(req), llm: (req as unknown as { llm: unknown }).llm });
    });
    const { body } = await request(app).get('/');
    assert.deepEqual([body.state, body.llm], ['anonymous', 'its own']);
  });

  it('tells nothing of anonymous requests but that they are', async () => {
    const { keys } = testService();
    const app = createApp().use(requireApiKey({ keys, optional: true }), (req, res) => {
      const { state, key, model, endpoint, hold, usage } = getLlm(req);
      res.json({ state, rest: [key, model, endpoint, hold, usage].map((value) => value ?? null) });
    });
    assert.deepEqual((await request(app).get('/')).body, { state: 'anonymous', rest: [null, null, null, null, null] });
  });

  it('is a TypeError on requests that requireApiKey has not seen', async () => {
    const app = createApp()
      .get('/', (req) => void getLlm(req))
      .use(...lastResort());
    assert.deepEqual((await request(app).get('/')).body, {
      app: 'TypeError: getLlm: requireApiKey has not seen this request; mount it before',
    });
  });
});
