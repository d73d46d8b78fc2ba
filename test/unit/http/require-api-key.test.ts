import assert from 'node:assert/strict';
import type { ErrorRequestHandler, Request, RequestHandler } from 'express';
import request from 'supertest';
import { StoreUnavailableError } from '../../../lib/errors.ts';
import { getLlm } from '../../../lib/http/context.ts';
import { type RequireApiKeyOptions, requireApiKey } from '../../../lib/http/require-api-key.ts';
import { mintSecret } from '../../../lib/keys/secret.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { lastResort, onEachExpress } from '../../support/apps.ts';
import { listen } from '../../support/listen.ts';
import { rawStatus } from '../../support/raw-http.ts';
import { createKey, storeWith, type TestService, testService } from '../../support/service.ts';

const invalidToken = 'Bearer realm="llm", error="invalid_token"';

onEachExpress('requireApiKey', (createApp) => {
  /** An app that shows what the handler behind the middleware gets to see. */
  function appWith(service: TestService, options: Omit<RequireApiKeyOptions, 'keys'> = {}) {
    return createApp()
      .use(requireApiKey({ keys: service.keys, ...options }), (req, res) => {
        const { state, key, requestId } = getLlm(req);
        res.json({ state, key: key?.name ?? null, requestId, seen: seenCredentials(req) });
      })
      .use(...lastResort());
  }

  async function setUp(options?: Omit<RequireApiKeyOptions, 'keys'>) {
    const service = testService();
    const { key, secret } = await createKey(service, { name: 'Ada' });
    return { ...service, key, secret, app: appWith(service, options) };
  }

  describe('places', () => {
    const places: readonly [place: string, value: (secret: string) => string][] = [
      ['Authorization', (secret) => `Bearer ${secret}`],
      ['authorization', (secret) => `bearer   ${secret} `],
      ['X-API-Key', (secret) => secret],
      ['api-key', (secret) => secret],
      ['x-goog-api-key', (secret) => secret],
    ];
    for (const [place, value] of places) {
      it(`lets a key in ${place} through, and takes it off wherever a handler may read it`, async () => {
        const { app, secret } = await setUp();
        const { status, body } = await request(app).get('/').set(place, value(secret)).set('x-other', 'stays');
        assert.equal(status, 200);
        assert.deepEqual(
          { ...body, requestId: null },
          { state: 'authenticated', key: 'Ada', requestId: null, seen: { headers: {}, raw: [], distinct: {} } },
        );
      });

      it(`leaves a key in ${place} with keepCredentials`, async () => {
        const { app, secret } = await setUp({ keepCredentials: true });
        const { body } = await request(app).get('/').set(place, value(secret));
        const kept = value(secret).trim();
        const name = place.toLowerCase();
        assert.deepEqual(body.seen, { headers: { [name]: kept }, raw: [kept], distinct: { [name]: [kept] } });
      });
    }

    it('reads no key from the query string', async () => {
      const { app, secret } = await setUp();
      const answer = await request(app).get(`/?key=${secret}&api_key=${secret}&access_token=${secret}`);
      assert.deepEqual([answer.status, answer.body.error.code], [401, 'missing_api_key']);
    });

    it("leaves somebody else's token in Authorization alone when our key is in x-api-key", async () => {
      const { app, secret } = await setUp();
      const jwt = 'Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln';
      const { status, body } = await request(app).get('/').set('Authorization', jwt).set('x-api-key', secret);
      assert.equal(status, 200);
      assert.deepEqual(body.seen, { headers: { authorization: jwt }, raw: [jwt], distinct: { authorization: [jwt] } });
    });

    it('takes the same key out of every place it stands in', async () => {
      const { app, secret } = await setUp();
      const { status, body } = await request(app)
        .get('/')
        .set('Authorization', `Bearer ${secret}`)
        .set('x-api-key', secret);
      assert.equal(status, 200);
      assert.deepEqual(body.seen, { headers: {}, raw: [], distinct: {} });
    });

    it('refuses two different keys of ours, good ones too', async () => {
      const { app, secret, keys } = await setUp();
      const other = await createKey({ keys });
      const answer = await request(app)
        .get('/')
        .set('Authorization', `Bearer ${secret}`)
        .set('x-api-key', other.secret);
      assert.equal(answer.status, 401);
      assert.deepEqual(answer.body, {
        error: {
          message: 'The request carries two different API keys. Send one.',
          type: 'invalid_request_error',
          param: null,
          code: 'invalid_api_key',
        },
      });
      assert.equal(answer.headers['www-authenticate'], invalidToken);
    });
  });

  describe('refusals', () => {
    const cases: readonly [title: string, headers: Record<string, string>, code: string, challenge: string][] = [
      ['no credentials', {}, 'missing_api_key', 'Bearer realm="llm"'],
      ['an empty Bearer', { authorization: 'Bearer ' }, 'missing_api_key', 'Bearer realm="llm"'],
      ['another scheme', { authorization: 'Basic YTpi' }, 'missing_api_key', 'Bearer realm="llm"'],
      ["somebody else's key", { authorization: 'Bearer sk-proj-abc' }, 'invalid_api_key', invalidToken],
      ['a JWT alone', { authorization: 'Bearer a.b.c' }, 'invalid_api_key', invalidToken],
      ['a secret that nobody has', { 'x-api-key': mintSecret('sk-llm') }, 'invalid_api_key', invalidToken],
      ['a mistyped secret', { 'x-api-key': `${mintSecret('sk-llm').slice(0, -1)}!` }, 'invalid_api_key', invalidToken],
      ['8 kB of secret', { 'x-api-key': `sk-llm-${'a'.repeat(8000)}` }, 'invalid_api_key', invalidToken],
      [
        'a browser on a host that only begins like ours',
        { 'user-agent': 'Mozilla/5.0', origin: 'http://localhost:3000.evil.com' },
        'missing_api_key',
        'Bearer realm="llm"',
      ],
    ];
    for (const [title, headers, code, challenge] of cases) {
      it(`answers 401 ${code} to ${title}`, async () => {
        const { app } = await setUp();
        const answer = await request(app).get('/').set(headers);
        assert.equal(answer.status, 401);
        assert.equal(answer.body.error.code, code);
        assert.equal(answer.headers['www-authenticate'], challenge);
        assert.match(answer.headers['content-type'] ?? '', /^application\/json/);
      });
    }

    it('tells revoked, disabled and expired to whoever has the right secret', async () => {
      const { app, keys, clock } = await setUp();
      const revoked = await createKey({ keys });
      const disabled = await createKey({ keys });
      const expired = await createKey({ keys }, { expiresAt: clock() + 1000 });
      await keys.revoke(revoked.key.id);
      await keys.disable(disabled.key.id);
      clock.advance(1000);
      const codes = [];
      for (const { secret } of [revoked, disabled, expired]) {
        const answer = await request(app).get('/').set('x-api-key', secret);
        codes.push([answer.status, answer.body.error.code, answer.headers['www-authenticate']]);
      }
      assert.deepEqual(codes, [
        [401, 'api_key_revoked', invalidToken],
        [401, 'api_key_disabled', invalidToken],
        [401, 'api_key_expired', invalidToken],
      ]);
    });

    it('takes the old secret of a rotated key until its grace ends', async () => {
      const { app, keys, key, secret, clock } = await setUp();
      const rotated = await keys.rotate(key.id, { graceSeconds: 60 });
      const statuses = async () => [
        (await request(app).get('/').set('x-api-key', secret)).status,
        (await request(app).get('/').set('x-api-key', rotated.secret)).status,
      ];
      clock.advance(59_999);
      assert.deepEqual(await statuses(), [200, 200]);
      clock.advance(1);
      assert.deepEqual(await statuses(), [401, 200]);
    });

    it('answers 503 when the store is out of reach', async () => {
      const store = storeWith(memoryStore(), { findKeyByHash: () => Promise.reject(new Error('connection refused')) });
      const service = testService({ store });
      const answer = await request(appWith(service)).get('/').set('x-api-key', mintSecret('sk-llm'));
      assert.deepEqual([answer.status, answer.body.error.code], [503, 'store_unavailable']);
      assert.deepEqual([answer.headers['retry-after'], answer.headers['retry-after-ms']], ['1', '1000']);
      assert.ok(!JSON.stringify(answer.body).includes('connection refused'));
    });

    it('hands a refusal to the error handlers with failWithError', async () => {
      const service = testService();
      const seen: unknown[] = [];
      const app = createApp().use(requireApiKey({ keys: service.keys, failWithError: true }));
      app.use(((error, _req, res, _next) => {
        seen.push([error.name, error.status, error.code, error instanceof StoreUnavailableError]);
        res.status(418).end();
      }) satisfies ErrorRequestHandler);
      assert.equal((await request(app).get('/')).status, 418);
      assert.deepEqual(seen, [['RefusedError', 401, 'missing_api_key', false]]);
    });
  });

  describe('guessing', () => {
    const guess = (app: Parameters<typeof request>[0]) => request(app).get('/').set('x-api-key', mintSecret('sk-llm'));

    it('answers 429 to the 21st unknown secret of an address, and to no good key of it', async () => {
      const { app, secret } = await setUp();
      for (let count = 0; count < 20; count += 1) assert.equal((await guess(app)).status, 401);
      const refused = await guess(app);
      assert.equal(refused.status, 429);
      assert.deepEqual(refused.body, {
        error: {
          message: 'Too many requests with keys that are not valid came from this address.',
          type: 'requests',
          param: null,
          code: 'too_many_failed_attempts',
        },
      });
      assert.deepEqual([refused.headers['retry-after'], refused.headers['x-should-retry']], ['3', 'false']);
      assert.equal((await request(app).get('/').set('x-api-key', secret)).status, 200);
    });

    it('counts neither malformed secrets nor those of keys that ended', async () => {
      const { app, keys } = await setUp();
      const { key, secret } = await createKey({ keys });
      await keys.revoke(key.id);
      for (let count = 0; count < 30; count += 1) {
        await request(app).get('/').set('x-api-key', 'sk-llm-wrong');
        await request(app).get('/').set('x-api-key', secret);
      }
      assert.equal((await guess(app)).status, 401);
    });

    it('counts by the address that clientAddress tells, IPv6 by its network of 64 bits', async () => {
      let address = '2001:db8:1:2:3::1';
      const { app } = await setUp({ clientAddress: () => address });
      for (let count = 0; count < 20; count += 1) await guess(app);
      address = '2001:db8:1:2:ffff::9';
      assert.equal((await guess(app)).status, 429);
      address = '2001:db8:1:3::1';
      assert.equal((await guess(app)).status, 401);
    });

    it('warns once when X-Forwarded-For arrives and nobody trusts the proxy', async () => {
      const { app, log, secret } = await setUp();
      const forwarded = () => request(app).get('/').set('x-api-key', secret).set('x-forwarded-for', '192.0.2.1');
      await forwarded();
      await forwarded();
      assert.equal(log.lines.filter((line) => line.includes('trust proxy')).length, 1);
    });
  });

  describe('skip', () => {
    const paths: readonly [path: string, status: number][] = [
      ['/healthz', 200],
      ['/HealthZ/', 200],
      ['/healthz?full=1', 200],
      ['/healthz/ready', 200],
      ['/healthzevil', 401],
      ['/a/healthz', 401],
      ['/healthz/../v1/models', 401],
      ['/healthz%2f..%2fv1', 401],
      ['//healthz', 401],
    ];
    for (const [path, status] of paths) {
      it(`answers ${status} to ${path} where /healthz is skipped`, async () => {
        const { app } = await setUp({ skip: ['/healthz'] });
        const server = await listen(app);
        try {
          assert.equal(await rawStatus(server.url, { target: path }), status);
        } finally {
          await server.close();
        }
      });
    }

    it('skips only the root for /', async () => {
      const { app } = await setUp({ skip: ['/'] });
      assert.equal((await request(app).get('/')).status, 200);
      assert.equal((await request(app).get('/v1/models')).status, 401);
    });

    it('skips what a function says, and leaves the state skipped', async () => {
      const { app } = await setUp({ skip: (req: Request) => req.query.open === '1' });
      const open = await request(app).get('/?open=1').set('x-api-key', 'whatever');
      assert.deepEqual([open.status, open.body.state, open.body.key], [200, 'skipped', null]);
      assert.equal((await request(app).get('/?open=2')).status, 401);
    });
  });

  describe('preflights', () => {
    const preflight = (app: Parameters<typeof request>[0]) =>
      request(app).options('/').set('Origin', 'https://app.example').set('Access-Control-Request-Method', 'POST');

    it('go through without a key', async () => {
      const { app } = await setUp();
      const { status, body } = await preflight(app);
      assert.deepEqual([status, body.state], [200, 'skipped']);
    });

    it('have no body: with one they need a key', async () => {
      const { app } = await setUp();
      assert.equal((await preflight(app).send({ model: 'gpt-4o' })).status, 401);
    });

    it('name the method that is to follow: without it they need a key', async () => {
      const { app } = await setUp();
      assert.equal((await request(app).options('/').set('Origin', 'https://app.example')).status, 401);
    });
  });

  describe('optional', () => {
    it('lets requests without a key through as anonymous', async () => {
      const { app } = await setUp({ optional: true });
      const { status, body } = await request(app).get('/');
      assert.deepEqual([status, body.state, body.key], [200, 'anonymous', null]);
    });

    it('refuses a key that is not good all the same', async () => {
      const { app } = await setUp({ optional: true });
      assert.equal((await request(app).get('/').set('x-api-key', mintSecret('sk-llm'))).status, 401);
    });
  });

  describe('getSecret', () => {
    it('tells where else the key is', async () => {
      const { app, secret } = await setUp({ getSecret: (req) => req.get('x-my-key') });
      assert.equal((await request(app).get('/').set('x-my-key', secret)).status, 200);
      assert.equal((await request(app).get('/').set('x-api-key', secret)).status, 401);
    });

    it('may throw, which is the error of the app', async () => {
      const { app } = await setUp({
        getSecret: () => {
          throw new Error('no vault');
        },
      });
      const { status, body } = await request(app).get('/');
      assert.deepEqual([status, body], [500, { app: 'Error: no vault' }]);
    });
  });

  describe('request ids', () => {
    it("are the client's where they are harmless, on both headers", async () => {
      const { app, secret } = await setUp();
      const { headers, body } = await request(app).get('/').set('x-api-key', secret).set('x-request-id', 'a.B-1_2');
      assert.deepEqual(
        [headers['x-request-id'], headers['request-id'], body.requestId],
        ['a.B-1_2', 'a.B-1_2', 'a.B-1_2'],
      );
    });

    for (const id of ['a b', 'ü', 'x'.repeat(129), '<script>']) {
      it(`are new ones in place of ${JSON.stringify(id.slice(0, 9))}`, async () => {
        const { app } = await setUp();
        const { headers } = await request(app).get('/').set('x-request-id', Buffer.from(id).toString('latin1'));
        assert.match(headers['x-request-id'] ?? '', /^req_[0-9a-f-]{36}$/);
        assert.equal(headers['request-id'], headers['x-request-id']);
      });
    }

    it('are new ones in place of a key that went into the wrong header', async () => {
      const { app, secret } = await setUp();
      const { headers, text } = await request(app).get('/').set('x-api-key', secret).set('x-request-id', secret);
      assert.match(headers['x-request-id'] ?? '', /^req_/);
      assert.ok(!text.includes(secret));
    });

    it('can be read by the scripts of browsers, beside what the app exposes', async () => {
      const { app } = await setUp();
      const exposing = createApp()
        .use((_req, res, next) => {
          res.set('Access-Control-Expose-Headers', 'X-Own, x-request-id');
          next();
        })
        .use(app);
      const { headers } = await request(exposing).get('/').set('origin', 'https://app.test');
      assert.equal(
        headers['access-control-expose-headers'],
        'X-Own, x-request-id, request-id, Retry-After, retry-after-ms, x-should-retry',
      );
    });
  });

  describe('mounting', () => {
    it('twice acts once, and warns once', async () => {
      const service = testService();
      const { secret } = await createKey(service);
      const once = requireApiKey({ keys: service.keys });
      const app = createApp().use(once, once, (_req, res) => void res.json('through'));
      for (let count = 0; count < 2; count += 1) {
        const { status, body } = await request(app).get('/').set('x-api-key', secret);
        assert.deepEqual([status, body], [200, 'through']);
      }
      assert.deepEqual(service.log.lines, ['warn: requireApiKey is mounted twice on one route; it acts once']);
    });

    it('after an optional one it still needs a key', async () => {
      const { keys } = testService();
      const { secret } = await createKey({ keys });
      const app = createApp().use(requireApiKey({ keys, optional: true, skip: ['/private/logo'] }));
      app.use('/private', requireApiKey({ keys }), (req, res) => void res.json(getLlm(req).state));
      assert.equal((await request(app).get('/private')).status, 401);
      assert.equal((await request(app).get('/private/logo')).status, 401);
      assert.equal((await request(app).get('/private').set('x-api-key', secret)).body, 'authenticated');
    });

    it('after one of another service it still needs a key of its own', async () => {
      const [ours, theirs] = [testService(), testService()];
      const { secret } = await createKey(theirs);
      const app = createApp().use(requireApiKey({ keys: theirs.keys }));
      app.use('/ours', requireApiKey({ keys: ours.keys }), (_req, res) => void res.json('through'));
      assert.equal((await request(app).get('/ours').set('x-api-key', secret)).status, 401);
    });

    it('gives a function of its name', () => {
      assert.equal(requireApiKey({ keys: testService().keys }).name, 'requireApiKey');
    });
  });
});

describe('requireApiKey', () => {
  it('refuses options of no use when it is made', () => {
    const { keys } = testService();
    const make = (options: object) => () => requireApiKey(options as RequireApiKeyOptions);
    assert.throws(make({ keys, optionl: true }), {
      name: 'TypeError',
      message: 'requireApiKey: there is no option "optionl"; did you mean "optional"?',
    });
    assert.throws(make({}), {
      name: 'TypeError',
      message: 'requireApiKey: keys must be what createVirtualKeys() returned',
    });
    assert.throws(make({ keys, skip: ['healthz'] }), { name: 'TypeError', message: /^requireApiKey: skip must be/ });
    assert.throws(make({ keys, skip: 5 }), { name: 'TypeError', message: /^requireApiKey: skip must be/ });
  });

  it('says how to mount it where the factory itself was mounted', async () => {
    const { default: express } = await import('express');
    const app = express().use(requireApiKey as unknown as RequestHandler, ...lastResort());
    const { status, body } = await request(app).get('/');
    assert.equal(status, 500);
    assert.deepEqual(body, { app: 'TypeError: requireApiKey: mount what it returns: app.use(requireApiKey(…))' });
  });
});

function seenCredentials(req: Request) {
  const names = ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key'];
  const pick = <T>(all: { [name: string]: T | undefined }) =>
    Object.fromEntries(names.flatMap((name) => (all[name] === undefined ? [] : [[name, all[name]]])));
  const raw = req.rawHeaders.filter(
    (_, at) => at % 2 === 1 && names.includes(req.rawHeaders[at - 1]?.toLowerCase() ?? ''),
  );
  return { headers: pick(req.headers), raw, distinct: pick(req.headersDistinct) };
}
