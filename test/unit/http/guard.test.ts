import assert from 'node:assert/strict';
import type { ErrorRequestHandler, RequestHandler } from 'express';
import request from 'supertest';
import { getLlm } from '../../../lib/http/context.ts';
import { type LlmGuardOptions, llmGuard } from '../../../lib/http/guard.ts';
import { priceBook } from '../../../lib/usage/pricing.ts';
import { guardedApp, lastResort, onEachExpress } from '../../support/apps.ts';
import { answerChat } from '../../support/handlers.ts';
import { createKey, testService } from '../../support/service.ts';
import { charge, usageLog } from '../../support/usage-events.ts';

const prices = priceBook({ '*': { inputPerMillion: 2.5, outputPerMillion: 10 } });
const question = { model: 'gpt-4o', messages: [] };

onEachExpress('llmGuard', (createApp) => {
  async function setUp() {
    const service = testService({ prices });
    const { key, secret } = await createKey(service);
    const ask = (app: Parameters<typeof request>[0], body: object | string = question) =>
      request(app)
        .post('/v1/chat/completions')
        .set('x-api-key', secret)
        .set('content-type', 'application/json')
        .send(body);
    return { ...service, key, secret, ask };
  }

  it('parses, judges, holds and charges in one', async () => {
    const { keys, ask } = await setUp();
    const usage = usageLog(keys);
    const answer = await ask(guardedApp(createApp, { keys }, answerChat));
    assert.equal(answer.body.choices[0].message.content, 'Hello');
    assert.deepEqual((await usage.until(1)).map(charge), [
      { model: 'gpt-4o', inputTokens: 10, outputTokens: 5, costUsd: 0.000_075, source: 'reported' },
    ]);
  });

  it('speaks of itself where it is given no service', () => {
    for (const keys of [undefined, {}]) {
      assert.throws(() => llmGuard({ keys } as unknown as LlmGuardOptions), {
        name: 'TypeError',
        message: 'llmGuard: keys must be what createVirtualKeys() returned',
      });
    }
    assert.throws(() => (llmGuard as () => unknown)(), {
      name: 'TypeError',
      message: 'llmGuard: options must be an object',
    });
  });

  it('parses nothing of strangers', async () => {
    const { keys } = await setUp();
    const bodies: unknown[] = [];
    const app = createApp().use(llmGuard({ keys, failWithError: true }), answerChat);
    app.use(((_error, req, res, _next) => {
      bodies.push(req.body);
      res.status(401).end();
    }) satisfies ErrorRequestHandler);
    await request(app).post('/v1/chat/completions').send(question);
    assert.deepEqual(bodies, [undefined]);
  });

  const parsers: readonly [title: string, parsers: RequestHandler[]][] = [
    ['express.json', [createApp.json()]],
    ['parsers of other types', [createApp.urlencoded({ extended: true }), createApp.text()]],
    ['all parsers there are', [createApp.urlencoded({ extended: false }), createApp.json(), createApp.raw()]],
  ];
  for (const [title, before] of parsers) {
    it(`takes the body behind ${title}`, async () => {
      const { keys, ask } = await setUp();
      const app = createApp().use(...before, llmGuard({ keys }), (req, res) => void res.json(req.body));
      const { status, body } = await ask(app);
      assert.deepEqual([status, body], [200, question]);
    });
  }

  it('takes a body that something else has left on the request', async () => {
    const { keys, ask } = await setUp();
    const ownParser: RequestHandler = (req, _res, next) => {
      req.setEncoding('utf8').once('data', (text: string) => {
        req.body = { ...JSON.parse(text), own: true };
      });
      req.once('end', () => next());
    };
    const app = createApp().use(ownParser, llmGuard({ keys }), (req, res) => void res.json(req.body));
    assert.deepEqual((await ask(app)).body, { ...question, own: true });
  });

  it('takes JSON under any of its names, up to the limit', async () => {
    const { keys, ask } = await setUp();
    const app = guardedApp(createApp, { keys, json: { limit: '1kb' } }, answerChat);
    assert.equal((await ask(app).set('content-type', 'application/vnd.api+json; charset=utf-8')).status, 200);
    assert.equal((await ask(app, { ...question, user: 'x'.repeat(1024) })).status, 413);
  });

  it('takes more than Express itself does', async () => {
    const { keys, ask } = await setUp();
    const app = guardedApp(createApp, { keys }, answerChat);
    assert.equal((await ask(app, { ...question, user: 'x'.repeat(1024 * 1024) })).status, 200);
  });

  it('passes options on to each of its middlewares', async () => {
    const { keys, ask } = await setUp();
    const options: LlmGuardOptions = {
      keys,
      skip: ['/open'],
      model: 'fixed',
      headers: ['ietf'],
      estimate: () => ({ inputTokens: 1, outputTokens: 1 }),
      readUsage: () => ({ inputTokens: 4 }),
    };
    const usage = usageLog(keys);
    const app = guardedApp(createApp, options, (req, res) => void res.json(getLlm(req).state));
    assert.equal((await request(app).get('/open')).body, 'skipped');
    const { headers, body } = await ask(app);
    assert.equal(body, 'authenticated');
    assert.equal(headers['x-ratelimit-limit-rpm'], undefined);
    assert.deepEqual((await usage.until(1)).map(charge), [
      { model: 'fixed', inputTokens: 4, outputTokens: 0, costUsd: 0.000_01, source: 'reported' },
    ]);
  });

  it('mounted twice charges once', async () => {
    const { keys, ask, log } = await setUp();
    const usage = usageLog(keys);
    const app = createApp().use(llmGuard({ keys })).use('/v1', llmGuard({ keys }), answerChat);
    assert.equal((await ask(app)).status, 200);
    assert.equal((await usage.until(1)).length, 1);
    assert.deepEqual(
      log.lines,
      ['requireApiKey', 'requireModelAccess', 'rateLimit', 'recordUsage'].map(
        (name) => `warn: ${name} is mounted twice on one route; it acts once`,
      ),
    );
  });

  it('leaves the errors of the handler to the app', async () => {
    const { keys, ask } = await setUp();
    const failing: RequestHandler = () => {
      throw Object.assign(new Error('own'), { status: 409 });
    };
    const { status, body } = await ask(createApp().use(llmGuard({ keys }), failing, ...lastResort()));
    assert.deepEqual([status, body], [409, { app: 'Error: own' }]);
  });

  it('gives a function of its name, and refuses options of no use', async () => {
    const { keys } = await setUp();
    assert.equal(llmGuard({ keys }).name, 'llmGuard');
    assert.throws(() => llmGuard({ keys, budgetstatus: 402 } as unknown as LlmGuardOptions), {
      name: 'TypeError',
      message: 'llmGuard: there is no option "budgetstatus"; did you mean "budgetStatus"?',
    });
    assert.throws(() => llmGuard({ keys, json: { limitt: 5 } } as unknown as LlmGuardOptions), {
      name: 'TypeError',
      message: 'llmGuard: json: there is no option "limitt"; did you mean "limit"?',
    });
    assert.throws(() => llmGuard({ keys, headers: ['x'] } as unknown as LlmGuardOptions), { name: 'TypeError' });
  });
});
