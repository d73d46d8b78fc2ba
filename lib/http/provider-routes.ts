import type { Route, RouteEntry } from './route.ts';

type Row = RouteEntry & Partial<Pick<Route, 'metered'>>;

const openAI: readonly Row[] = [
  { path: '/v1/chat/completions', format: 'openai-chat', streams: 'body', usageOnRequest: true },
  { path: '/v1/completions', format: 'openai-chat', streams: 'body', usageOnRequest: true },
  { path: '/v1/responses', format: 'openai-responses', streams: 'body' },
  { path: '/v1/responses/{id}', methods: ['GET', 'DELETE'], model: 'none' },
  { path: '/v1/responses/{id}/cancel', model: 'none' },
  { path: '/v1/responses/{id}/input_items', methods: ['GET'], model: 'none' },
  { path: '/v1/embeddings', format: 'openai-embeddings', output: 'none' },
  { path: '/v1/images/generations', format: 'openai-images', output: 'images', streams: 'body' },
  { path: '/v1/images/edits', format: 'openai-images', output: 'images', streams: 'body', body: 'multipart' },
  { path: '/v1/images/variations', format: 'openai-images', output: 'images', body: 'multipart' },
  {
    path: '/v1/audio/transcriptions',
    format: 'openai-audio',
    output: 'transcript',
    streams: 'body',
    body: 'multipart',
  },
  { path: '/v1/audio/translations', format: 'openai-audio', output: 'transcript', body: 'multipart' },
  { path: '/v1/audio/speech', output: 'speech', streams: 'body' },
  { path: '/v1/moderations', format: 'openai-moderations', output: 'none' },
  { path: '/v1/models', methods: ['GET'], model: 'none', dialect: null },
  { path: '/v1/models/{model}', methods: ['GET'], model: 'none', dialect: null },
  { path: '/v1/batches', metered: false },
];

/** The endpoints that Azure has per deployment. Its resource-wide ones, below `/openai/v1`, are OpenAI's own. */
const azure: readonly Row[] = openAI
  .filter(({ path }) => /completions$|embeddings$|images\/(generations|edits)$|audio/.test(path))
  .map((row) => ({
    ...row,
    path: row.path.replace('/v1', '/deployments/{model}'),
    endpoint: row.path,
    model: 'path',
  }));

const anthropic = rows({ dialect: 'anthropic' }, [
  { path: '/v1/messages', format: 'anthropic-messages', streams: 'body' },
  { path: '/v1/messages/count_tokens', format: 'anthropic-count', output: 'none' },
  { path: '/v1/messages/batches', metered: false },
]);

const gemini = rows({ dialect: 'gemini', model: 'path' }, [
  { path: '/v1beta/models/{model}:generateContent', format: 'gemini-generate' },
  { path: '/v1beta/models/{model}:streamGenerateContent', format: 'gemini-generate', streams: 'always' },
  { path: '/v1beta/models/{model}:embedContent', format: 'gemini-embed', output: 'none' },
  { path: '/v1beta/models/{model}:batchEmbedContents', format: 'gemini-embed', output: 'none' },
  { path: '/v1beta/models/{model}:countTokens', format: 'gemini-count', output: 'none' },
  { path: '/v1beta/models/{model}:batchGenerateContent', metered: false },
  { path: '/v1beta/models', methods: ['GET'], model: 'none' },
  { path: '/v1beta/models/{model}', methods: ['GET'], model: 'none' },
]);

/** Every endpoint that this package knows. */
export const providerRoutes: readonly Row[] = [...openAI, ...azure, ...anthropic, ...gemini];

function rows(shared: Omit<Row, 'path'>, entries: readonly Row[]): readonly Row[] {
  return entries.map((entry) => ({ ...shared, ...entry }));
}
