import assert from 'node:assert/strict';
import fc from 'fast-check';
import { providerRoutes } from '../../../lib/http/provider-routes.ts';
import { readRequestPath } from '../../../lib/http/request-path.ts';
import { createRouteTable, type RouteMatch, type RouteTable } from '../../../lib/http/route-table.ts';

const table = createRouteTable();

function find(method: string, url: string, routes: RouteTable = table): RouteMatch | undefined {
  const located = routes.locate(method, url);
  assert.ok(located !== undefined, url);
  return located.match;
}

describe('createRouteTable', () => {
  const known: readonly [
    request: string,
    endpoint: string,
    format: string,
    dialect: string | null,
    permission: string | null,
  ][] = [
    ['POST /v1/chat/completions', '/v1/chat/completions', 'openai-chat', 'openai', 'allowChatCompletions'],
    ['POST /chat/completions', '/v1/chat/completions', 'openai-chat', 'openai', 'allowChatCompletions'],
    ['POST /api/llm/v1/chat/completions', '/v1/chat/completions', 'openai-chat', 'openai', 'allowChatCompletions'],
    ['POST /api/v2/llm/v1/chat/completions', '/v1/chat/completions', 'openai-chat', 'openai', 'allowChatCompletions'],
    ['POST /V1/CHAT/completions/', '/v1/chat/completions', 'openai-chat', 'openai', 'allowChatCompletions'],
    ['POST /openai/v1/chat/completions', '/v1/chat/completions', 'openai-chat', 'openai', 'allowChatCompletions'],
    [
      'POST /openai/deployments/d/chat/completions?api-version=1',
      '/v1/chat/completions',
      'openai-chat',
      'openai',
      'allowChatCompletions',
    ],
    ['POST /deployments/d/embeddings', '/v1/embeddings', 'openai-embeddings', 'openai', 'allowEmbeddings'],
    ['POST /openai/deployments/d/audio/transcriptions', '/v1/audio/transcriptions', 'openai-audio', 'openai', null],
    ['POST /v1/completions', '/v1/completions', 'openai-chat', 'openai', 'allowCompletions'],
    ['POST /v1/responses', '/v1/responses', 'openai-responses', 'openai', 'allowChatCompletions'],
    ['GET /v1/responses/resp_1', '/v1/responses/{id}', 'none', 'openai', 'allowChatCompletions'],
    ['DELETE /v1/responses/resp_1', '/v1/responses/{id}', 'none', 'openai', 'allowChatCompletions'],
    ['POST /v1/responses/resp_1/cancel', '/v1/responses/{id}/cancel', 'none', 'openai', 'allowChatCompletions'],
    ['POST /v1/embeddings', '/v1/embeddings', 'openai-embeddings', 'openai', 'allowEmbeddings'],
    ['POST /v1/images/generations', '/v1/images/generations', 'openai-images', 'openai', null],
    ['POST /v1/images/edits', '/v1/images/edits', 'openai-images', 'openai', null],
    ['POST /v1/images/variations', '/v1/images/variations', 'openai-images', 'openai', null],
    ['POST /v1/audio/transcriptions', '/v1/audio/transcriptions', 'openai-audio', 'openai', null],
    ['POST /v1/audio/translations', '/v1/audio/translations', 'openai-audio', 'openai', null],
    ['POST /v1/audio/speech', '/v1/audio/speech', 'none', 'openai', null],
    ['POST /v1/moderations', '/v1/moderations', 'openai-moderations', 'openai', null],
    ['GET /v1/models', '/v1/models', 'none', null, null],
    ['HEAD /models', '/v1/models', 'none', null, null],
    ['GET /v1/models/gpt-4o', '/v1/models/{model}', 'none', null, null],
    ['GET /v1/models/v1', '/v1/models/{model}', 'none', null, null],
    ['POST /v1/messages', '/v1/messages', 'anthropic-messages', 'anthropic', 'allowChatCompletions'],
    [
      'POST /v1/messages/count_tokens',
      '/v1/messages/count_tokens',
      'anthropic-count',
      'anthropic',
      'allowChatCompletions',
    ],
    [
      'POST /v1beta/models/m:generateContent',
      '/v1beta/models/{model}:generateContent',
      'gemini-generate',
      'gemini',
      'allowChatCompletions',
    ],
    [
      'POST /v1/models/m:generateContent',
      '/v1beta/models/{model}:generateContent',
      'gemini-generate',
      'gemini',
      'allowChatCompletions',
    ],
    [
      'POST /v1beta/models/m%3AstreamGenerateContent?alt=sse',
      '/v1beta/models/{model}:streamGenerateContent',
      'gemini-generate',
      'gemini',
      'allowChatCompletions',
    ],
    [
      'POST /v1beta/models/m:embedContent',
      '/v1beta/models/{model}:embedContent',
      'gemini-embed',
      'gemini',
      'allowEmbeddings',
    ],
    [
      'POST /v1beta/models/m:batchEmbedContents',
      '/v1beta/models/{model}:batchEmbedContents',
      'gemini-embed',
      'gemini',
      'allowEmbeddings',
    ],
    [
      'POST /v1beta/models/m:countTokens',
      '/v1beta/models/{model}:countTokens',
      'gemini-count',
      'gemini',
      'allowChatCompletions',
    ],
    ['GET /v1beta/models', '/v1beta/models', 'none', 'gemini', null],
    ['GET /v1beta/models/gemini-2.5-pro', '/v1beta/models/{model}', 'none', 'gemini', null],
  ];
  for (const [request, endpoint, format, dialect, permission] of known) {
    it(`knows ${request}`, () => {
      const [method = '', url = ''] = request.split(' ');
      const route = find(method, url)?.route;
      assert.deepEqual(
        [route?.endpoint, route?.format, route?.dialect, route?.permission],
        [endpoint, format, dialect, permission],
      );
    });
  }

  const unknown = [
    ...[
      'GET /v1/chat/completions',
      'PUT /v1/models',
      'POST /v1/models',
      'DELETE /v1/models/gpt-4o',
      'HEAD /v1/embeddings',
    ],
    ...['POST /v1/files', 'POST /v1/fine_tuning/jobs', 'GET /', 'POST /v1', 'POST /completions/chat'],
    ...['POST /v1/files/embeddings', 'POST /v1/chat/embeddings', 'POST /v1/xchat/completions', 'POST /v1/embeddings/x'],
    ...[
      'POST /v1beta/models/:generateContent',
      'POST /v1beta/models/m:unknownMethod',
      'POST /v1/projects/p/models/m:generateContent',
    ],
  ];
  for (const request of unknown) {
    it(`does not know ${request}`, () => {
      const [method = '', url = ''] = request.split(' ');
      assert.equal(find(method, url), undefined);
    });
  }

  it('finds each of its rows under any mount, in any case and encoding', () => {
    const mount = fc.array(fc.constantFrom('api', 'llm', 'openai', 'x-y', 'v2x', 'chat'), { maxLength: 3 });
    const change = fc.constantFrom('as is', 'upper', 'encoded');
    fc.assert(
      fc.property(
        fc.constantFrom(...providerRoutes),
        mount,
        fc.array(change, { minLength: 40 }),
        (row, above, changes) => {
          const path = row.path.replaceAll(/\{\w+\}/g, 'a-name');
          const written = Array.from(path, (character, at) => {
            if (character === '/' || changes[at] === undefined || changes[at] === 'as is') return character;
            const upper = character.toUpperCase();
            return changes[at] === 'upper' ? upper : `%${character.charCodeAt(0).toString(16)}`;
          }).join('');
          const url = ['', ...above].join('/') + written;
          assert.equal(find(row.methods?.[0] ?? 'POST', url)?.route.path, row.path, url);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('takes the model from the path in its own case', () => {
    assert.equal(find('POST', '/v1beta/models/Gemini-2.5:GENERATECONTENT')?.model, 'Gemini-2.5');
    assert.equal(find('POST', '/v1beta/models/tuned:v2:generateContent')?.model, 'tuned:v2');
    assert.equal(find('POST', '/openai/deployments/My-GPT/chat/completions')?.model, 'My-GPT');
    assert.equal(find('POST', '/v1/chat/completions')?.model, null);
  });

  it('names endpoints without what the app mounts them under, and deployments by what they answer', () => {
    assert.equal(find('POST', '/api/llm/v1/Chat/completions/')?.endpointPath, '/v1/chat/completions');
    assert.equal(find('POST', '/chat/completions')?.endpointPath, '/v1/chat/completions');
    assert.equal(find('POST', '/openai/deployments/d/embeddings')?.endpointPath, '/v1/embeddings');
    assert.equal(find('GET', '/x/v1/responses/Resp_1')?.endpointPath, '/v1/responses/resp_1');
    assert.equal(find('POST', '/v1beta/models/M:embedContent')?.endpointPath, '/v1beta/models/m:embedcontent');
  });

  it('finds each of two targets under two methods, as often as it is asked', () => {
    const asked = [
      ['POST', '/v1/embeddings'],
      ['POST', '/v1/messages'],
      ['GET', '/v1/embeddings'],
    ] as const;
    for (let times = 0; times < 2; times += 1) {
      const endpoints = asked.map(([method, target]) => table.locate(method, target)?.match?.route.endpoint);
      assert.deepEqual(endpoints, ['/v1/embeddings', '/v1/messages', undefined]);
    }
  });

  it('finds the route of a path under any method, for the dialect of a refusal', () => {
    const path = readRequestPath('/v1/messages');
    assert.ok(path !== undefined);
    assert.equal(table.locate('GET', '/v1/messages')?.match, undefined);
    assert.equal(table.findByPath(path)?.route.dialect, 'anthropic');
  });

  it('puts the rows of the app before its own, with the defaults of a JSON endpoint', () => {
    const own = createRouteTable([
      { path: '/v1/rerank', permission: 'allowEmbeddings', output: 'none' },
      { path: '/v1/audio/speech', model: 'none' },
    ]);
    assert.deepEqual(find('POST', '/v1/rerank', own)?.route, {
      path: '/v1/rerank',
      endpoint: '/v1/rerank',
      methods: ['POST'],
      model: 'body',
      modelField: 'model',
      body: 'json',
      permission: 'allowEmbeddings',
      format: 'none',
      output: 'none',
      dialect: 'openai',
      streams: 'never',
      usageOnRequest: false,
      metered: true,
    });
    assert.equal(find('POST', '/v1/audio/speech', own)?.route.model, 'none');
  });

  const useless: readonly [entry: unknown, message: RegExp][] = [
    [{ path: 'v1/rerank' }, /path must be like \/v1\/rerank, not "v1\/rerank"/],
    [{ path: '/v1//rerank' }, /path must be like/],
    [{}, /path must be like/],
    [null, /each must be an object with a path/],
    [{ path: '/v1/rerank', model: 'path' }, /it must contain \{model\}/],
    [{ path: '/v1/rerank', methods: ['post'] }, /methods of \/v1\/rerank must be a list/],
    [{ path: '/v1/rerank', metred: true }, /no option "metred"/],
  ];
  for (const [entry, message] of useless) {
    it(`refuses the row ${JSON.stringify(entry)}`, () => {
      assert.throws(() => createRouteTable([entry as never]), { name: 'TypeError', message });
    });
  }
});
