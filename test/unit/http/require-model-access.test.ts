import assert from 'node:assert/strict';
import type { Request, RequestHandler } from 'express';
import request from 'supertest';
import { getLlm } from '../../../lib/http/context.ts';
import { requireApiKey } from '../../../lib/http/require-api-key.ts';
import { type RequireModelAccessOptions, requireModelAccess } from '../../../lib/http/require-model-access.ts';
import type { KeyInput } from '../../../lib/keys/key-input.ts';
import { priceBook } from '../../../lib/usage/pricing.ts';
import { chainedApp, expressMajors, lastResort, onEachExpress } from '../../support/apps.ts';
import { listen } from '../../support/listen.ts';
import { rawStatus } from '../../support/raw-http.ts';
import { createKey, testService } from '../../support/service.ts';

const prices = priceBook({
  'gpt-4o': { inputPerMillion: 2.5, outputPerMillion: 10 },
  'gpt-4o-mini': { inputPerMillion: 0.15, outputPerMillion: 0.6 },
  'claude-3': { inputPerMillion: 3, outputPerMillion: 15 },
});

/** Shows what the handler behind the middleware gets to see. */
const showRequest: RequestHandler = (req, res) => {
  const { model, endpoint } = getLlm(req);
  res.json({ model, endpoint, body: req.body ?? null, length: req.headers['content-length'] ?? null });
};

onEachExpress('requireModelAccess', (createApp) => {
  async function setUp(fields: Partial<KeyInput> = {}, access: RequireModelAccessOptions = {}) {
    const service = testService({ prices });
    const { key, secret } = await createKey(service, fields);
    let calls = 0;
    const app = chainedApp(createApp, service.keys, { access, usage: false }, (req, res, next) => {
      calls += 1;
      showRequest(req, res, next);
    });
    const send = (method: 'get' | 'head' | 'post' | 'options' | 'delete', path: string) =>
      request(app)[method](path).set('x-api-key', secret);
    const post = (path: string, body: object = { model: 'gpt-4o', messages: [] }) => send('post', path).send(body);
    return { ...service, key, secret, app, send, post, handled: () => calls };
  }

  /** Status and, of a refusal, code and param. */
  function outcome({ status, body }: request.Response) {
    return status < 400 ? [status] : [status, body.error.code, body.error.param];
  }

  describe('models', () => {
    it('are refused by name before any handler runs', async () => {
      const { post, handled } = await setUp({ models: ['gpt-4'] });
      const answer = await post('/v1/chat/completions', { model: 'claude-3', messages: [] });
      assert.equal(answer.status, 403);
      assert.deepEqual(answer.body, {
        error: {
          message: 'The model "claude-3" is not allowed for this API key.',
          type: 'invalid_request_error',
          param: 'model',
          code: 'model_not_allowed',
        },
      });
      assert.equal(handled(), 0);
    });

    const lists: readonly [models: string[], model: string, status: number][] = [
      [['gpt-*'], 'gpt-4', 200],
      [['gpt-*'], 'gpt-3.5-turbo', 200],
      [['gpt-*'], 'claude-3', 403],
      [['gpt-4'], 'gpt-4-turbo', 403],
      [['gpt-4'], 'GPT-4', 403],
      [['*'], 'anything/at:all', 200],
      [[], 'gpt-4', 403],
    ];
    for (const [models, model, status] of lists) {
      it(`answers ${status} for ${model} to a key for ${JSON.stringify(models)}`, async () => {
        const { post } = await setUp({ models });
        assert.equal((await post('/v1/chat/completions', { model, messages: [] })).status, status);
      });
    }

    it('are none once the last one is taken from the key', async () => {
      const { post, keys, key } = await setUp({ models: ['gpt-4o'] });
      assert.equal((await post('/v1/chat/completions')).status, 200);
      await keys.update(key.id, { models: [] });
      assert.deepEqual(outcome(await post('/v1/chat/completions')), [403, 'model_not_allowed', 'model']);
    });

    it("are none while a policy of the key's owner lists none, and all again at once when it is lifted", async () => {
      const { post, keys } = await setUp({ ownerId: 'ada' });
      assert.equal((await post('/v1/chat/completions')).status, 200);
      await keys.setPolicy({ user: 'ada' }, { models: [] });
      const refused = await post('/v1/chat/completions');
      assert.equal(refused.body.error.message, 'The model "gpt-4o" is not allowed for the key\'s owner.');
      await keys.setPolicy({ user: 'ada' }, {});
      assert.equal((await post('/v1/chat/completions')).status, 200);
    });

    const several: readonly [title: string, body: object, expected: unknown[]][] = [
      [
        'models[] with one that is not',
        { model: 'gpt-4o', models: ['gpt-4o', 'claude-3'] },
        [403, 'model_not_allowed', 'model'],
      ],
      ['models[] alone', { models: ['gpt-4o', 'gpt-4o-mini'] }, [200]],
      [
        'fallbacks that are not',
        { model: 'gpt-4o', fallbacks: [{ model: 'claude-3' }] },
        [403, 'model_not_allowed', 'model'],
      ],
      ['fallbacks that are', { model: 'gpt-4o', fallbacks: ['gpt-4o-mini'] }, [200]],
      ['a list instead of a name', { model: ['gpt-4o'] }, [400, 'invalid_body', 'model']],
      ['a name with a control character', { model: 'gpt-4o\u0000' }, [400, 'invalid_body', 'model']],
      ['an empty name', { model: '' }, [400, 'invalid_body', 'model']],
      ['no name', { messages: [] }, [400, 'model_required', 'model']],
    ];
    for (const [title, body, expected] of several) {
      it(`answers ${expected.slice(0, 2).join(' ')} to ${title}`, async () => {
        const { post } = await setUp({ models: ['gpt-4o*'] });
        assert.deepEqual(outcome(await post('/v1/chat/completions', body)), expected);
      });
    }

    it('come from X-Preferred-Model where the body names none, and then the body names it', async () => {
      const { post } = await setUp();
      const { body } = await post('/v1/chat/completions', { messages: [] }).set('X-Preferred-Model', 'gpt-4o-mini');
      assert.deepEqual(body, {
        model: 'gpt-4o-mini',
        endpoint: '/v1/chat/completions',
        body: { messages: [], model: 'gpt-4o-mini' },
        length: null,
      });
    });

    it('do not come from X-Preferred-Model where the body names one', async () => {
      const { post } = await setUp();
      const { body } = await post('/v1/chat/completions').set('X-Preferred-Model', 'claude-3');
      assert.deepEqual([body.model, body.body.model], ['gpt-4o', 'gpt-4o']);
    });

    it('of X-Preferred-Model are judged like any other', async () => {
      const { post } = await setUp({ models: ['gpt-4o'] });
      const answer = await post('/v1/chat/completions', { messages: [] }).set('X-Preferred-Model', 'claude-3');
      assert.deepEqual(outcome(answer), [403, 'model_not_allowed', 'model']);
    });

    it('are what the option says, whatever the body names', async () => {
      const { post } = await setUp({ models: ['gpt-4o'] }, { model: 'gpt-4o' });
      const { body } = await post('/v1/chat/completions', { model: 'claude-3', messages: [] });
      assert.deepEqual([body.model, body.body.model], ['gpt-4o', 'gpt-4o']);
    });

    it('may be told by a function, later', async () => {
      const { post } = await setUp({}, { model: async (req: Request) => req.get('x-tenant-model') });
      const { body } = await post('/v1/chat/completions').set('x-tenant-model', 'gpt-4o-mini');
      assert.equal(body.model, 'gpt-4o-mini');
    });

    it('are an error of the app where the function throws', async () => {
      const { post } = await setUp({}, { model: () => Promise.reject(new Error('no tenant')) });
      const { status, body } = await post('/v1/chat/completions');
      assert.deepEqual([status, body], [500, { app: 'Error: no tenant' }]);
    });

    it('in the path of Gemini must not differ from those of the body', async () => {
      const { post } = await setUp();
      const path = '/v1beta/models/expensive:generateContent';
      assert.equal((await post(path, { contents: [] })).body.model, 'expensive');
      assert.equal((await post(path, { contents: [], model: 'models/expensive' })).body.model, 'expensive');
      const conflict = await post(path, { contents: [], model: 'cheap' });
      assert.deepEqual([conflict.status, conflict.body.error.details[0].reason], [400, 'MODEL_CONFLICT']);
    });

    it('in the path of Azure keep their case', async () => {
      const { post } = await setUp({ models: ['My-GPT'] });
      const { body } = await post('/openai/deployments/My-GPT/Chat/Completions?api-version=1', { messages: [] });
      assert.deepEqual([body.model, body.endpoint], ['My-GPT', '/v1/chat/completions']);
    });
  });

  describe('endpoints', () => {
    const cases: readonly [title: string, fields: Partial<KeyInput>, path: string, expected: unknown[]][] = [
      [
        'embeddings without the permission',
        { permissions: { allowEmbeddings: false } },
        '/v1/embeddings',
        [403, 'endpoint_not_permitted', null],
      ],
      [
        'EMBEDDINGS/ without the permission',
        { permissions: { allowEmbeddings: false } },
        '/v1/EMBEDDINGS/',
        [403, 'endpoint_not_permitted', null],
      ],
      [
        'chat with no other permission',
        { permissions: { allowEmbeddings: false, allowCompletions: false } },
        '/v1/chat/completions',
        [200],
      ],
      [
        'messages without that for chat',
        { permissions: { allowChatCompletions: false } },
        '/v1/responses',
        [403, 'endpoint_not_permitted', null],
      ],
      ['chat for a key with /v1/chat/*', { endpoints: ['/v1/chat/*'] }, '/v1/chat/completions', [200]],
      [
        'embeddings for a key with /v1/chat/*',
        { endpoints: ['/v1/chat/*'] },
        '/v1/embeddings',
        [403, 'endpoint_not_permitted', null],
      ],
      [
        'EMBEDDINGS/ for a key with /v1/chat/*',
        { endpoints: ['/v1/chat/*'] },
        '/v1/EMBEDDINGS/',
        [403, 'endpoint_not_permitted', null],
      ],
      ['any for a key with none', { endpoints: [] }, '/v1/chat/completions', [403, 'endpoint_not_permitted', null]],
    ];
    for (const [title, fields, path, expected] of cases) {
      it(`answer ${expected.slice(0, 2).join(' ')} to ${title}`, async () => {
        const { post } = await setUp(fields);
        assert.deepEqual(outcome(await post(path, { model: 'gpt-4o', input: 'x' })), expected);
      });
    }

    it('that are not in the table are refused', async () => {
      const { post, send } = await setUp();
      assert.deepEqual(outcome(await post('/v1/fine_tuning/jobs')), [403, 'endpoint_not_permitted', null]);
      assert.deepEqual(outcome(await send('delete', '/v1/models/gpt-4o')), [403, 'endpoint_not_permitted', null]);
    });

    it('that are not in the table pass as requests only, where the option allows it', async () => {
      const { post } = await setUp({ endpoints: ['/v1/fine_tuning/*'], rpmLimit: 2 }, { unknownEndpoints: 'allow' });
      const { status, body, headers } = await post('/v1/fine_tuning/jobs');
      assert.deepEqual([status, body.model, body.endpoint], [200, null, '/v1/fine_tuning/jobs']);
      assert.equal(headers['x-ratelimit-remaining-requests'], '1');
      assert.deepEqual(outcome(await post('/v1/other')), [403, 'endpoint_not_permitted', null]);
    });

    it('are what the option says, whatever the path', async () => {
      const { post } = await setUp({ endpoints: ['/v1/chat/completions'] }, { endpoint: '/v1/chat/completions' });
      const { body } = await post('/ask-me');
      assert.deepEqual([body.model, body.endpoint], ['gpt-4o', '/v1/chat/completions']);
    });

    it('are refused in the words of their provider, whatever the path', async () => {
      const named = await setUp({ models: [] }, { endpoint: '/v1/messages' });
      assert.equal((await named.post('/v1/ask')).body.error.type, 'permission_error');
      const own = await setUp({ models: [] }, { routes: [{ path: '/v1/ask', dialect: 'gemini' }] });
      assert.equal((await own.post('/v1/ask')).body.error.status, 'PERMISSION_DENIED');
    });

    it('whose usage comes later are refused', async () => {
      const { post } = await setUp();
      const background = await post('/v1/responses', { model: 'gpt-4o', input: 'x', background: true });
      assert.deepEqual(outcome(background), [400, 'not_metered', 'background']);
      assert.deepEqual(outcome(await post('/v1/batches', { input_file_id: 'f' })), [400, 'not_metered', null]);
      const anthropic = await post('/v1/messages/batches', { requests: [] });
      assert.deepEqual([anthropic.status, anthropic.body.error.details], [400, { error_code: 'not_metered' }]);
    });

    for (const target of [
      '/v1/x/../chat/completions',
      '/v1/./chat/completions',
      '/v1//chat/completions',
      '/v1/chat%2fcompletions',
      '/v1/chat%2Fcompletions',
      '/v1/%2e%2e/chat/completions',
      '/v1/chat\\completions',
    ]) {
      it(`at ${target} are no valid path`, async () => {
        const { app, secret, handled } = await setUp();
        const server = await listen(app);
        const body = JSON.stringify({ model: 'gpt-4o', messages: [] });
        const headers = { 'x-api-key': secret, 'content-type': 'application/json' };
        try {
          assert.equal(await rawStatus(server.url, { method: 'POST', target, headers, body }), 400);
        } finally {
          await server.close();
        }
        assert.equal(handled(), 0);
      });
    }
  });

  it('tells the log once how an endpoint of the app is made known, and no secret in its path', async () => {
    const { post, log, secret } = await setUp();
    const answer = await post(`/own/${secret}/${'x'.repeat(41)}/a%20b/${'y/'.repeat(200)}`);
    assert.deepEqual(answer.body.error.message, 'This endpoint is not available here.');
    assert.deepEqual(outcome(await post('/other')), [403, 'endpoint_not_permitted', null]);
    const [line = ''] = log.lines;
    assert.equal(log.lines.length, 1);
    const [, path = ''] = /^warn: requireModelAccess: POST (\S+) is in no route table; say endpoint: /.exec(line) ?? [];
    assert.match(path, /^\/own\/…\/…\/a.{1,3}b\/y\/y\//);
    assert.equal(path.length, 200);
    assert.ok(line.endsWith("say endpoint: '/v1/chat/completions', add routes, or unknownEndpoints: 'allow'"));
  });

  describe('GET /v1/models', () => {
    const models = ['gpt-4o*', 'my-own', 'gpt-4o'];

    it("lists what the key may use in OpenAI's shape", async () => {
      const { send, handled } = await setUp({ models });
      const { status, body } = await send('get', '/v1/models');
      assert.equal(status, 200);
      assert.deepEqual(body, {
        object: 'list',
        data: ['my-own', 'gpt-4o', 'gpt-4o-mini'].map((id) => ({ id, object: 'model', created: 0, owned_by: 'llm' })),
      });
      assert.equal(handled(), 0);
    });

    it("lists them in Anthropic's shape to its clients", async () => {
      const { send } = await setUp({ models: ['claude-3'] });
      const { body } = await send('get', '/v1/models').set('anthropic-version', '2023-06-01');
      assert.deepEqual(body, {
        data: [{ type: 'model', id: 'claude-3', display_name: 'claude-3', created_at: '1970-01-01T00:00:00Z' }],
        has_more: false,
        first_id: 'claude-3',
        last_id: 'claude-3',
      });
    });

    it("lists them in Gemini's shape at its path", async () => {
      const { send } = await setUp({ models: ['gpt-4o'] });
      assert.deepEqual((await send('get', '/v1beta/models')).body, { models: [{ name: 'models/gpt-4o' }] });
    });

    it('lists none that a policy takes away, and none for a key without models', async () => {
      const { send, keys } = await setUp({ models, ownerId: 'ada' });
      await keys.setPolicy({ user: 'ada' }, { models: ['gpt-4o-mini'] });
      assert.deepEqual(
        (await send('get', '/v1/models')).body.data.map(({ id }: { id: string }) => id),
        ['gpt-4o-mini'],
      );
      const none = await setUp({ models: [] });
      assert.deepEqual((await none.send('get', '/v1/models')).body, { object: 'list', data: [] });
    });

    it('counts as a request, and gives its slot back', async () => {
      const { send } = await setUp({ rpmLimit: 2, maxParallelRequests: 1 });
      assert.equal((await send('get', '/v1/models')).headers['x-ratelimit-remaining-requests'], '1');
      assert.equal((await send('get', '/v1/models')).status, 200);
      assert.deepEqual(outcome(await send('get', '/v1/models')), [429, 'rate_limit_exceeded', 'key:rpm']);
    });

    it('answers HEAD without a body', async () => {
      const { send, handled } = await setUp();
      const { status, text, headers } = await send('head', '/v1/models');
      assert.deepEqual([status, text ?? ''], [200, '']);
      assert.ok(Number(headers['content-length']) > 0);
      assert.equal(handled(), 0);
    });
  });

  describe('bodies', () => {
    it('that are multipart need the model option', async () => {
      const upload = (setup: Awaited<ReturnType<typeof setUp>>) =>
        setup
          .send('post', '/v1/audio/transcriptions')
          .field('model', 'whisper-1')
          .attach('file', Buffer.from('RIFF'), 'speech.wav');
      assert.deepEqual(outcome(await upload(await setUp())), [400, 'model_required', 'model']);
      const { status, body } = await upload(await setUp({ models: ['whisper-1'] }, { model: 'whisper-1' }));
      assert.deepEqual([status, body.model, body.endpoint], [200, 'whisper-1', '/v1/audio/transcriptions']);
      assert.deepEqual(outcome(await upload(await setUp({ models: ['gpt-4o'] }, { model: 'whisper-1' }))), [
        403,
        'model_not_allowed',
        'model',
      ]);
    });

    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'application/jsonp',
      'multipart/form-data; boundary=x',
    ]) {
      it(`of ${type} are 415 where JSON is expected`, async () => {
        const { send } = await setUp();
        const answer = await send('post', '/v1/chat/completions').set('content-type', type).send('{"model":"gpt-4o"}');
        assert.equal(answer.status, 415);
        assert.deepEqual(answer.body, {
          error: {
            message: 'The body must be application/json.',
            type: 'invalid_request_error',
            param: null,
            code: 'unsupported_media_type',
          },
        });
      });
    }

    it('that are lists are 400', async () => {
      const { post } = await setUp();
      assert.deepEqual(outcome(await post('/v1/chat/completions', [])), [400, 'invalid_body', null]);
    });

    it('that nobody has parsed are a mistake of the app, which is told what to mount', async () => {
      const { keys } = testService();
      const { secret } = await createKey({ keys });
      const app = createApp().use(requireApiKey({ keys }), requireModelAccess(), ...lastResort());
      const { status, body } = await request(app)
        .post('/v1/chat/completions')
        .set('x-api-key', secret)
        .send({ model: 'gpt-4o' });
      assert.deepEqual(
        [status, body],
        [500, { app: 'TypeError: requireModelAccess: mount express.json() between requireApiKey and it' }],
      );
    });
  });

  describe('mounting', () => {
    it('without requireApiKey before it is a TypeError that says the fix', async () => {
      const app = createApp().use(requireModelAccess(), ...lastResort());
      const { status, body } = await request(app).get('/v1/models');
      assert.deepEqual(
        [status, body],
        [500, { app: 'TypeError: requireModelAccess: mount requireApiKey before it, on the same route' }],
      );
    });

    it('lets requests through that need no key', async () => {
      const { keys } = testService();
      const open = requireApiKey({ keys, optional: true });
      const app = createApp().use(open, requireModelAccess(), (req, res) => void res.json(getLlm(req).state));
      assert.equal((await request(app).post('/v1/chat/completions')).body, 'anonymous');
    });

    it('twice acts once, and warns once', async () => {
      const { keys, log } = testService();
      const { secret } = await createKey({ keys });
      const first = requireModelAccess({ endpoint: '/v1/chat/completions' });
      const app = createApp().use(requireApiKey({ keys }), createApp.json(), first, requireModelAccess(), showRequest);
      const ask = () => request(app).post('/ask').set('x-api-key', secret).send({ model: 'gpt-4o' });
      await ask();
      assert.equal((await ask()).body.endpoint, '/v1/chat/completions');
      assert.deepEqual(log.lines, ['warn: requireModelAccess is mounted twice on one route; it acts once']);
    });

    it('below a path of the app finds the same endpoints', async () => {
      const { keys } = testService();
      const { secret } = await createKey({ keys });
      const router = createApp.Router();
      router.use(requireApiKey({ keys }), createApp.json(), requireModelAccess());
      router.post('/chat/completions', showRequest);
      const app = createApp().use('/api/llm', router);
      const { body } = await request(app)
        .post('/api/llm/chat/completions')
        .set('x-api-key', secret)
        .send({ model: 'm' });
      assert.deepEqual([body.model, body.endpoint], ['m', '/v1/chat/completions']);
    });
  });
});

describe('requireModelAccess', () => {
  const make = (options: object) => () => requireModelAccess(options as RequireModelAccessOptions);

  it('refuses options of no use when it is made', () => {
    assert.throws(make({ unknownEndpoint: 'allow' }), {
      name: 'TypeError',
      message: 'requireModelAccess: there is no option "unknownEndpoint"; did you mean "unknownEndpoints"?',
    });
    assert.throws(make({ unknownEndpoints: true }), { name: 'TypeError', message: /unknownEndpoints must be/ });
    assert.throws(make({ endpoint: '/ask' }), {
      name: 'TypeError',
      message: /endpoint must be in the route table, .* not "\/ask"$/,
    });
    assert.throws(make({ model: 5 }), { name: 'TypeError', message: /model must be/ });
    assert.throws(make({ model: '' }), { name: 'TypeError', message: /model must be/ });
  });

  it('gives a function of its name', () => assert.equal(requireModelAccess().name, 'requireModelAccess'));

  for (const [name, createApp] of expressMajors) {
    it(`says how to mount it where the factory itself was mounted on ${name}`, async () => {
      const app = createApp().use(requireModelAccess as unknown as RequestHandler, ...lastResort());
      assert.deepEqual((await request(app).get('/')).body, {
        app: 'TypeError: requireModelAccess: mount what it returns: app.use(requireModelAccess(…))',
      });
    });
  }
});
