import assert from 'node:assert/strict';
import { describeRequest, type RequestFacts } from '../../../lib/http/describe-request.ts';
import { createRouteTable } from '../../../lib/http/route-table.ts';

const table = createRouteTable();
const json = { 'content-type': 'application/json', 'content-length': '100' };
const multipart = { 'content-type': 'multipart/form-data; boundary=x', 'content-length': '100' };

function post(url: string, body: unknown, facts: Partial<RequestFacts> = {}) {
  return describeRequest(table, { method: 'POST', url, headers: json, body, ...facts });
}

function modelsOf(description: ReturnType<typeof post>) {
  assert.ok(description.kind === 'described', JSON.stringify(description));
  const { model, models, modelFrom } = description;
  return { model, models, modelFrom };
}

function refusalOf(description: ReturnType<typeof post>) {
  assert.ok(description.kind === 'refused', JSON.stringify(description));
  return description.refusal;
}

describe('describeRequest', () => {
  const chat = '/v1/chat/completions';
  const generate = '/v1beta/models/expensive:generateContent';
  const azure = '/openai/deployments/gpt-4o/chat/completions';

  it('takes the model from the body of a chat', () => {
    const description = post('/api/v1/chat/completions', { model: 'gpt-4o', stream: true });
    assert.ok(description.kind === 'described');
    const { route, ...rest } = description;
    assert.equal(route.endpoint, chat);
    assert.deepEqual(rest, {
      kind: 'described',
      path: '/api/v1/chat/completions',
      endpointPath: chat,
      model: 'gpt-4o',
      models: ['gpt-4o'],
      modelFrom: 'body',
      streams: true,
    });
  });

  it('lists every name that may take the place of the model', () => {
    const body = { model: 'a', models: ['b', 'a'], fallbacks: ['c', { model: 'd', messages: [] }] };
    assert.deepEqual(modelsOf(post(chat, body)), { model: 'a', models: ['a', 'b', 'c', 'd'], modelFrom: 'body' });
    assert.deepEqual(modelsOf(post(chat, { models: ['b', 'c'] })), {
      model: 'b',
      models: ['b', 'c'],
      modelFrom: 'body',
    });
    assert.deepEqual(modelsOf(post(chat, { model: 'a', models: null, fallbacks: [] })).models, ['a']);
  });

  it('takes X-Preferred-Model only when a JSON body names none', () => {
    const headers = { ...json, 'x-preferred-model': 'cheap' };
    assert.deepEqual(modelsOf(post(chat, {}, { headers })), { model: 'cheap', models: ['cheap'], modelFrom: 'header' });
    assert.deepEqual(modelsOf(post(chat, { fallbacks: ['b'] }, { headers })).models, ['cheap', 'b']);
    assert.equal(modelsOf(post(chat, { model: 'a' }, { headers })).model, 'a');
    const form = { ...multipart, 'x-preferred-model': 'cheap' };
    assert.deepEqual(refusalOf(post('/v1/audio/transcriptions', {}, { headers: form })), { kind: 'model_required' });
  });

  it('asks for a model where the route has one', () => {
    assert.deepEqual(refusalOf(post(chat, { messages: [] })), { kind: 'model_required' });
    assert.deepEqual(refusalOf(post(chat, undefined, { headers: {} })), { kind: 'model_required' });
    assert.deepEqual(refusalOf(post(chat, {}, { headers: { 'content-length': '0' } })), { kind: 'model_required' });
  });

  it('takes the model of a path, and refuses a body that names another', () => {
    const fromPath = { model: 'expensive', models: ['expensive'], modelFrom: 'path' };
    assert.deepEqual(modelsOf(post(generate, { contents: [] })), fromPath);
    assert.deepEqual(modelsOf(post(generate, { model: 'expensive' })), fromPath);
    assert.deepEqual(modelsOf(post(generate, { model: 'models/expensive' })), fromPath);
    assert.deepEqual(refusalOf(post(generate, { model: 'cheap' })), { kind: 'model_conflict' });
    assert.deepEqual(refusalOf(post(generate, { model: 'Expensive' })), { kind: 'model_conflict' });
    const parts = { requests: [{ model: 'models/expensive' }, { model: 'models/cheap' }] };
    const embed = '/v1beta/models/expensive:batchEmbedContents';
    assert.deepEqual(refusalOf(post(embed, parts)), { kind: 'model_conflict' });
    assert.deepEqual(modelsOf(post(embed, { requests: parts.requests.slice(0, 1) })), fromPath);
    const counted = { generateContentRequest: { model: 'models/cheap' } };
    assert.deepEqual(refusalOf(post('/v1beta/models/expensive:countTokens', counted)), { kind: 'model_conflict' });
  });

  it("takes Azure's deployment for the model, and lets the body repeat it", () => {
    assert.equal(modelsOf(post(azure, { messages: [] })).model, 'gpt-4o');
    assert.deepEqual(modelsOf(post(azure, { model: 'gpt-4o', fallbacks: ['b'] })).models, ['gpt-4o', 'b']);
    assert.deepEqual(refusalOf(post(azure, { model: 'gpt-4' })), { kind: 'model_conflict' });
  });

  it('does not ask the header where the path has the model', () => {
    const headers = { ...json, 'x-preferred-model': 'cheap' };
    assert.equal(modelsOf(post(generate, {}, { headers })).model, 'expensive');
  });

  it('takes the model that the app gives, and still lists the alternatives of the body', () => {
    const given = { givenModel: 'house-model' };
    assert.deepEqual(modelsOf(post(chat, { model: 'other', fallbacks: ['b'] }, given)), {
      model: 'house-model',
      models: ['house-model', 'b'],
      modelFrom: 'option',
    });
    const form = { headers: multipart, ...given };
    assert.equal(modelsOf(post('/v1/audio/transcriptions', undefined, form)).model, 'house-model');
  });

  it('reads the field of a multipart body that was parsed', () => {
    const body = Object.assign(Object.create(null), { model: 'whisper-1' });
    const fromBody = { model: 'whisper-1', models: ['whisper-1'], modelFrom: 'body' };
    assert.deepEqual(modelsOf(post('/v1/audio/transcriptions', body, { headers: multipart })), fromBody);
    assert.deepEqual(refusalOf(post('/v1/audio/transcriptions', undefined, { headers: multipart })), {
      kind: 'model_required',
    });
    const twice = { model: ['cheap', 'dear'] };
    assert.equal(refusalOf(post('/v1/images/edits', twice, { headers: multipart })).kind, 'invalid_body');
  });

  const badNames: readonly [body: object, param: string][] = [
    [{ model: 7 }, 'model'],
    [{ model: null }, 'model'],
    [{ model: '' }, 'model'],
    [{ model: ['gpt-4o'] }, 'model'],
    [{ model: 'a\nb' }, 'model'],
    [{ model: 'x'.repeat(257) }, 'model'],
    [{ model: 'a', models: 'b' }, 'models'],
    [{ model: 'a', models: [7] }, 'models'],
    [{ model: 'a', models: Array.from({ length: 33 }, () => 'b') }, 'models'],
    [{ model: 'a', fallbacks: [{ 'gpt-4': ['b'] }] }, 'fallbacks'],
  ];
  for (const [body, param] of badNames) {
    it(`refuses ${JSON.stringify(body).slice(0, 60)}`, () => {
      const refusal = refusalOf(post(chat, body));
      assert.ok(refusal.kind === 'invalid_body');
      assert.equal(refusal.param, param);
    });
  }

  it('refuses bodies that are not of the type the route reads', () => {
    const text = { headers: { 'content-type': 'text/plain', 'content-length': '9' } };
    const form = { headers: { 'content-type': 'application/x-www-form-urlencoded', 'transfer-encoding': 'chunked' } };
    const untyped = { headers: { 'content-length': '9' } };
    for (const facts of [text, form, untyped, { headers: multipart }]) {
      assert.deepEqual(refusalOf(post(chat, {}, facts)), { kind: 'media_type', expected: 'application/json' });
    }
    assert.deepEqual(refusalOf(post('/v1/audio/translations', {}, text)), {
      kind: 'media_type',
      expected: 'multipart/form-data or application/json',
    });
    const variant = { headers: { ...json, 'content-type': 'application/vnd.x+json; charset=utf-8' } };
    assert.equal(modelsOf(post(chat, { model: 'a' }, variant)).model, 'a');
  });

  it('refuses JSON that is no object', () => {
    for (const body of [[], [{ model: 'a' }], 7, null]) {
      assert.deepEqual(refusalOf(post(chat, body)), {
        kind: 'invalid_body',
        problem: 'The body must be a JSON object.',
        param: null,
      });
    }
  });

  it('refuses a body that is nested deeper than whoever passes it on could write it', () => {
    const nested = (depth: number) => JSON.parse(`{"model":"a","messages":${'['.repeat(depth)}${']'.repeat(depth)}}`);
    assert.equal(modelsOf(post(chat, nested(255))).model, 'a');
    for (const depth of [256, 100_000]) {
      assert.deepEqual(refusalOf(post(chat, nested(depth))), {
        kind: 'invalid_body',
        problem: 'The body must not be nested deeper than 256 levels.',
        param: null,
      });
    }
  });

  it('tells when nobody has parsed the JSON body', () => {
    for (const body of [undefined, '{"model":"a"}', Buffer.from('{"model":"a"}')]) {
      assert.equal(post(chat, body).kind, 'unparsed');
    }
  });

  it('knows routes without a model, and does not look at their bodies', () => {
    const get = { method: 'GET', headers: {} };
    const none = { model: null, models: [], modelFrom: null };
    assert.deepEqual(modelsOf(post('/v1/models', undefined, get)), none);
    assert.deepEqual(modelsOf(post('/v1/models/gpt-4o', undefined, { ...get, method: 'HEAD' })), none);
    assert.deepEqual(modelsOf(post('/v1/responses/resp_1/cancel', undefined, { headers: json })), none);
  });

  it('refuses what cannot be metered', () => {
    const batch = { kind: 'not_metered', what: 'A batch', param: null };
    const paths = ['/v1/batches', '/v1/messages/batches', '/v1beta/models/m:batchGenerateContent'];
    for (const path of paths) assert.deepEqual(refusalOf(post(path, {})), batch);
    const background = { kind: 'not_metered', what: 'A background response', param: 'background' };
    for (const value of [true, 'true', 1]) {
      assert.deepEqual(refusalOf(post('/v1/responses', { model: 'a', background: value })), background);
    }
    assert.equal(modelsOf(post('/v1/responses', { model: 'a', background: false })).model, 'a');
    assert.equal(modelsOf(post('/v1/images/generations', { model: 'a', background: 'transparent' })).model, 'a');
  });

  it('tells streams by the body, or by the path', () => {
    const streams = (description: ReturnType<typeof post>) => description.kind === 'described' && description.streams;
    assert.equal(streams(post(chat, { model: 'a' })), false);
    assert.equal(streams(post('/v1/messages', { model: 'a', stream: true })), true);
    assert.equal(streams(post('/v1/embeddings', { model: 'a', stream: true })), false);
    assert.equal(streams(post('/v1beta/models/m:streamGenerateContent?alt=sse', {})), true);
    assert.equal(streams(post('/v1beta/models/m:generateContent', { stream: true })), false);
  });

  it('tells unlisted endpoints, and paths that are not valid', () => {
    assert.deepEqual(post('/v1/Files/', {}), { kind: 'unlisted', path: '/v1/files' });
    assert.deepEqual(refusalOf(post('/v1/../v1/chat/completions', { model: 'a' })), { kind: 'invalid_path' });
  });
});
