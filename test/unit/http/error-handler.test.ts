import assert from 'node:assert/strict';
import type { ErrorRequestHandler, RequestHandler } from 'express';
import request from 'supertest';
import { StoreUnavailableError } from '../../../lib/errors.ts';
import { llmErrorHandler } from '../../../lib/http/error-handler.ts';
import { requireApiKey } from '../../../lib/http/require-api-key.ts';
import { lastResort, onEachExpress, showError } from '../../support/apps.ts';
import { createKey, testService } from '../../support/service.ts';

onEachExpress('llmErrorHandler', (createApp) => {
  const thrower =
    (error: unknown): RequestHandler =>
    (_req, _res, next) =>
      next(error);

  it("leaves an app's own error as it is, status and all", async () => {
    const own = Object.assign(new Error('no such page'), { status: 404, code: 'ENOENT', type: 'page' });
    const seen: unknown[] = [];
    const app = createApp()
      .use(requireApiKey({ keys: testService().keys, optional: true }), thrower(own), llmErrorHandler())
      .use(((error, req, res, next) => {
        seen.push(error);
        showError(error, req, res, next);
      }) satisfies ErrorRequestHandler);
    const { status, body } = await request(app).get('/');
    assert.deepEqual([status, body], [404, { app: 'Error: no such page' }]);
    assert.equal(seen[0], own);
  });

  for (const value of ['a text', { status: 404 }, 5]) {
    it(`leaves ${JSON.stringify(value)} that was thrown as it is`, async () => {
      const seen: unknown[] = [];
      const app = createApp().use(thrower(value), llmErrorHandler(), ((error, _req, res, _next) => {
        seen.push(error);
        res.status(500).end();
      }) satisfies ErrorRequestHandler);
      await request(app).get('/');
      assert.deepEqual(seen, [value]);
    });
  }

  it('answers what a parser could not read only where requireApiKey has seen the request', async () => {
    const { keys } = testService();
    const { secret } = await createKey({ keys });
    const app = createApp()
      .use('/v1', requireApiKey({ keys }))
      .use(createApp.json({ limit: 20 }), ...lastResort());
    const send = (path: string, body: string) =>
      request(app).post(path).set('x-api-key', secret).set('content-type', 'application/json').send(body);
    const answers = await Promise.all([send('/v1/chat/completions', '{'), send('/own', '{')]);
    assert.deepEqual(
      answers.map(({ status, body }) => [status, body.error?.code ?? body.app.slice(0, 12)]),
      [
        [400, 'invalid_body'],
        [400, 'SyntaxError:'],
      ],
    );
    assert.deepEqual(
      [(await send('/v1/messages', '['.repeat(21))).body.error, (await send('/own', ' '.repeat(21))).status],
      [
        {
          type: 'invalid_request_error',
          message: 'The body of the request is too large.',
          details: { error_code: 'payload_too_large' },
        },
        413,
      ],
    );
  });

  it('answers 503 to a store that an own route could not reach', async () => {
    const app = createApp().use(thrower(new StoreUnavailableError('down')), ...lastResort());
    const { status, body, headers } = await request(app).get('/v1/chat/completions');
    assert.deepEqual([status, body.error.code, headers['retry-after']], [503, 'store_unavailable', '1']);
  });

  it("answers the service's other errors as the admin router does", async () => {
    const { keys } = testService();
    const app = createApp()
      .get('/keys/:id', (req, res, next) => void keys.get(req.params.id).then((key) => res.json(key), next))
      .use(...lastResort());
    const { status, body } = await request(app).get('/keys/none');
    assert.equal(status, 404);
    assert.deepEqual(body, {
      error: { message: 'No such key', type: 'invalid_request_error', code: 'key_not_found', param: null },
    });
  });

  it('cannot answer what has begun, and leaves that to Express', async () => {
    const begin: RequestHandler = (_req, res, next) => {
      res.write('begun');
      next(new StoreUnavailableError('down'));
    };
    const app = createApp().use(begin, ...lastResort());
    await assert.rejects(Promise.resolve(request(app).get('/')), /aborted|socket hang up/);
  });
});
