/** Whose error shape an answer may have; `app`: the app's own, for paths that are none of ours. */
export type Shape = 'openai' | 'anthropic' | 'gemini' | 'app' | 'none';

export interface HostileRequest {
  readonly bytes: Buffer;
  /** The shapes that a refusal of it may have. */
  readonly shapes: readonly Shape[];
  /** HTTP itself is broken: the server may close the connection, and answers in its own way. */
  readonly isBroken: boolean;
  /** It has a connection of its own. Node.js sends a 100 at once, in the middle of earlier answers. */
  readonly isAlone: boolean;
  readonly isHead: boolean;
  /** The client goes away once it has sent the bytes. */
  readonly leaves: boolean;
}

type Header = readonly [name: string, value: string];
type Random = () => number;

const anyShape: readonly Shape[] = ['openai', 'anthropic', 'gemini'];

function pick<T>(random: Random, choices: readonly T[]): T {
  const choice = choices[Math.floor(random() * choices.length)];
  if (choice === undefined) throw new RangeError('There is nothing to choose from');
  return choice;
}

function bytesOf(random: Random, length: number): string {
  return Array.from({ length }, () => String.fromCharCode(0x80 + Math.floor(random() * 0x80))).join('');
}

const pollution = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf'];

const models: readonly unknown[] = [
  ...[
    'gpt-4o',
    'echo',
    'gpt-4o\r\nInjected: 1',
    'gpt\u0000',
    'e\u0301',
    '\u00e9',
    'gpt-4o\u200b',
    '\ufeffgpt-4o',
    ' ',
    '',
  ],
  ...[...pollution, 'a'.repeat(256), 'a'.repeat(257), '../../etc', '%00', '\ud800', '😀', '*', 'gpt-*'],
  ...[null, 0, -1, true, [], ['gpt-4o'], {}, { toString: 'x' }],
];

const numbers: readonly unknown[] = [
  ...[0, 1, -1, 1.5, 1e9, 1e21, 1e300, Number.MAX_SAFE_INTEGER, '5', '-5', '1e309', 'NaN', '', null, true, [], {}],
];

const extraFields: readonly string[] = [
  ...['n', 'best_of', 'max_tokens', 'max_completion_tokens', 'max_output_tokens', 'stream', 'stream_options'],
  ...['models', 'fallbacks', 'tools', 'functions', 'background', 'store', 'previous_response_id', 'conversation'],
  ...['input', 'prompt', 'system', 'contents', 'generationConfig', 'requests', 'generateContentRequest', 'thinking'],
  ...['logprobs', 'modalities', 'audio', 'metadata', 'response_format', 'text', 'user', ...pollution],
];

/** Any JSON, not too deep, under names that objects have already. */
function anyValue(random: Random, depth = 0): unknown {
  const kind = random();
  if (depth > 3 || kind < 0.3)
    return pick<unknown>(random, [...numbers, ...models, 'Hello', '\u2028', 'x'.repeat(300)]);
  if (kind < 0.6) return Array.from({ length: Math.floor(random() * 5) }, () => anyValue(random, depth + 1));
  return JSON.parse(
    `{${Array.from({ length: Math.floor(random() * 4) }, () => {
      const name = pick(random, [...extraFields, 'role', 'content', 'type', 'image_url', 'source', 'parts', 'model']);
      return `${JSON.stringify(name)}:${JSON.stringify(anyValue(random, depth + 1) ?? null)}`;
    }).join(',')}}`,
  );
}

function jsonOf(random: Random, fields: Readonly<Record<string, unknown>>, names: readonly string[]): string {
  const all = Object.entries(fields);
  for (let more = Math.floor(random() * 4); more > 0; more -= 1) {
    const value = random() < 0.5 ? pick(random, numbers) : anyValue(random);
    all.push([pick(random, names), value]);
  }
  // Written by hand, since an object would keep only one of two fields of a name, and no `__proto__`.
  return `{${all.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value) ?? 'null'}`).join(',')}}`;
}

function nested(open: string, close: string, depth: number): string {
  return `{"model":"gpt-4o","messages":${open.repeat(depth)}1${close.repeat(depth)}}`;
}

function hostileBody(random: Random, good: string): string {
  const kind = random();
  if (kind < 0.55) return good;
  if (kind < 0.65) return good.slice(0, Math.floor(random() * good.length));
  if (kind < 0.7) {
    const at = Math.floor(random() * good.length);
    return good.slice(0, at) + bytesOf(random, 1 + Math.floor(random() * 4)) + good.slice(at + 1);
  }
  return pick(random, [
    ...['', ' ', '[]', 'null', 'true', '1', '"x"', '{', '{}', '[{}]', '\u0000', '{"a":1}}', '\ufeff{}', 'model=gpt-4o'],
    ...[nested('[', ']', 3000), nested('{"a":', '}', 3000), '['.repeat(5000), `{"model":"${'a'.repeat(20_000)}"}`],
    ...[`{${Array.from({ length: 500 }, (_, at) => `"k${at}":1`).join(',')}}`, '{"model":"gpt-4o","model":"other"}'],
  ]);
}

const contentTypes = [
  ...['application/json', 'application/json; charset=utf-8', 'application/vnd.api+json', 'APPLICATION/JSON'],
  ...['application/json;', 'application/json; foo', 'application/json; =', 'application/json;;charset="utf-8'],
  ...['application/json; charset=utf-16', 'application/json; charset=latin1', 'application/json, text/plain', '', '/'],
  ...['application/x-www-form-urlencoded', 'multipart/form-data', 'multipart/form-data; boundary=x', 'text/plain'],
  ...['application/jsonx', 'application/+json', '\x80\xff', 'a'.repeat(5000)],
];

function hostileHeaders(random: Random): Header[] {
  const headers: Header[] = [];
  for (let more = Math.floor(random() * 3); more > 0; more -= 1) {
    headers.push(
      pick<Header>(random, [
        ['x-request-id', 'a b\xff'],
        ['x-request-id', 'a'.repeat(200)],
        ['x-request-id', 'ok-1'],
        ['x-request-id', 'x%0d%0aInjected: 1'],
        ['X-Preferred-Model', 'gpt-4o'],
        ['X-Preferred-Model', bytesOf(random, 20)],
        ['X-Preferred-Model', 'x%0d%0aSet-Cookie: a=b'],
        ['X-HTTP-Method-Override', 'DELETE'],
        ['Content-Encoding', pick(random, ['gzip', 'br', 'deflate', 'zstd', 'foo', 'identity', 'gzip, gzip', ''])],
        ['Accept', bytesOf(random, 30)],
        ['anthropic-version', '2023-06-01'],
        ['Cookie', 'a=b'],
        ['If-Match', pick(random, ['"1"', '*', '"', 'W/"1"', '"99999999999999999999"', bytesOf(random, 5)])],
        ['X-Forwarded-For', bytesOf(random, 10)],
        ['Expect', '100-continue'],
        ['Origin', 'null'],
        ['Access-Control-Request-Method', 'POST'],
        ['User-Agent', bytesOf(random, 300)],
        ...pollution.map((name): Header => [name, 'x']),
      ]),
    );
  }
  if (random() < 0.01) for (let at = 0; at < 900; at += 1) headers.push([`h${at}`, 'x']);
  return headers;
}

function credentials(random: Random, secret: string): Header[] {
  const wrong = `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`;
  return pick<Header[]>(random, [
    ...Array.from({ length: 12 }, (): Header[] => [['Authorization', `Bearer ${secret}`]]),
    [['x-api-key', secret]],
    [['api-key', secret]],
    [['x-goog-api-key', secret]],
    [
      ['authorization', `bearer   ${secret}`],
      ['X-API-Key', secret],
    ],
    [
      ['Authorization', `Bearer ${secret}`],
      ['Authorization', `Bearer ${wrong}`],
    ],
    [
      ['Authorization', 'Bearer a.b.c'],
      ['x-api-key', secret],
    ],
    [['Authorization', `Bearer ${wrong}`]],
    [['Authorization', `Bearer ${'a'.repeat(10_000)}`]],
    [['x-api-key', `sk-llm-${'a'.repeat(10_000)}`]],
    [['Authorization', `Bearer ${bytesOf(random, 56)}`]],
    [['Authorization', `Basic ${secret}`]],
    [['Authorization', '']],
    [['Authorization', `Bearer ${' '.repeat(5000)}`]],
    [['x-request-id', secret]],
    [],
  ]);
}

interface Parts {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly Header[];
  readonly body: string;
  readonly shapes: readonly Shape[];
}

function headOf(method: string, target: string, headers: readonly Header[]): string {
  return `${method} ${target} HTTP/1.1\r\nHost: test\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

/** Node.js takes 16 KiB; the framing is still to come. */
const maxHeadBytes = 16_000;

/** The request on the wire: sometimes in chunks, and sometimes so that no server can read it. */
function framed(random: Random, { method, target, headers, body, shapes }: Parts): HostileRequest {
  const text = Buffer.from(body, random() < 0.1 ? 'latin1' : 'utf8');
  const isBroken = /[^\x21-\x7e]/.test(target) || headOf(method, target, headers).length > maxHeadBytes;
  const allowed: readonly Shape[] = isBroken ? ['none', ...shapes] : shapes;
  const isHead = method === 'HEAD';
  const isAlone = isBroken || isHead || headers.some(([name]) => name === 'Expect');
  const base = { shapes: allowed, isBroken, isAlone, isHead, leaves: false };
  const kind = random();
  if (kind < 0.1) return { ...base, ...brokenFrame(random, { method, target, headers, body, shapes }, text) };
  if (kind < 0.25 && text.length > 0) {
    const middle = Math.floor(random() * text.length);
    const pieces = [text.subarray(0, middle), text.subarray(middle)].filter((piece) => piece.length > 0);
    const chunks = pieces.flatMap((piece) => [
      Buffer.from(`${piece.length.toString(16)};x=y\r\n`),
      piece,
      Buffer.from('\r\n'),
    ]);
    const head = headOf(method, target, [...headers, ['Transfer-Encoding', 'chunked']]);
    return { ...base, bytes: Buffer.concat([Buffer.from(head, 'latin1'), ...chunks, Buffer.from('0\r\n\r\n')]) };
  }
  const length: Header[] = text.length > 0 ? [['Content-Length', String(text.length)]] : [];
  return {
    ...base,
    bytes: Buffer.concat([Buffer.from(headOf(method, target, [...headers, ...length]), 'latin1'), text]),
  };
}

function brokenFrame(
  random: Random,
  { method, target, headers }: Parts,
  text: Buffer,
): Partial<HostileRequest> & { bytes: Buffer } {
  const whole = (extra: readonly Header[]) =>
    Buffer.concat([Buffer.from(headOf(method, target, [...headers, ...extra]), 'latin1'), text]);
  const shapes: readonly Shape[] = ['none', ...anyShape, 'app'];
  const length = String(text.length);
  if (random() < 0.3) {
    const bytes = whole([['Content-Length', String(text.length + 10)]]);
    return {
      bytes: bytes.subarray(0, Math.floor(random() * bytes.length) + 1),
      shapes,
      isBroken: true,
      isAlone: true,
      leaves: true,
    };
  }
  const extra = pick<readonly Header[]>(random, [
    [
      ['Content-Length', length],
      ['Content-Length', '7'],
    ],
    [
      ['Content-Length', length],
      ['Transfer-Encoding', 'chunked'],
    ],
    [['Transfer-Encoding', 'chunked, gzip']],
    [['Transfer-Encoding', 'chunked']],
    [['Content-Length', '-1']],
    [['Content-Length', '99999999999999999999']],
    [['Content-Length', '1e3']],
    [['bad name', 'x']],
    [['x', 'a\u0000b']],
    [['x', 'a\nInjected: 1']],
    [['x'.repeat(20_000), 'y']],
    Array.from({ length: 3000 }, (_, at): Header => [`h${at}`, 'x']),
  ]);
  // What follows the end of the body is another request to the server, and no good one.
  const bytes = Buffer.concat([whole(extra), Buffer.from('\r\n\r\n\u0000\u0001GARBAGE\r\n\r\n')]);
  return { bytes, shapes, isBroken: true, isAlone: true };
}

const routes: readonly (readonly [path: string, shapes: readonly Shape[], body: Readonly<Record<string, unknown>>])[] =
  [
    [
      '/v1/chat/completions',
      ['openai'],
      { model: 'gpt-4o', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 5 },
    ],
    ['/V1/Chat/Completions/', ['openai'], { model: 'gpt-4o', messages: [] }],
    ['/v1/%63hat/completions', ['openai'], { model: 'gpt-4o', messages: [] }],
    ['http://evil.example/v1/chat/completions', ['openai'], { model: 'gpt-4o', messages: [] }],
    ['/v1/completions', ['openai'], { model: 'gpt-4o', prompt: 'Hi' }],
    ['/v1/responses', ['openai'], { model: 'gpt-4o', input: 'Hi', max_output_tokens: 5 }],
    ['/v1/embeddings', ['openai'], { model: 'gpt-4o', input: ['a', 'b'] }],
    ['/v1/messages', ['anthropic'], { model: 'gpt-4o', max_tokens: 5, messages: [{ role: 'user', content: 'Hi' }] }],
    ['/v1beta/models/gpt-4o:generateContent', ['gemini'], { contents: [{ parts: [{ text: 'Hi' }] }] }],
    ['/v1beta/models/%ff:generateContent', anyShape, {}],
    ['/v1beta/models/__proto__:countTokens', ['gemini'], { contents: [] }],
    ['/v1/batches', ['openai'], {}],
    ['/v1/models', anyShape, {}],
    ['/v1/models/__proto__', anyShape, {}],
    ...[
      ...['/v1', '/v1/', '/v1/files', '/v1//chat/completions', '/v1/chat/completions;x', '/v1/chat/completions%00'],
      ...['/v1/chat/completions.', '/v1/chat/completions%20', '/v1/chat%2fcompletions', '/v1/chat/completions%'],
      ...[
        '/v1/%E0%A4%A',
        '/v1/%252e%252e/x',
        '/v1/../x',
        '/v1/%2e%2e/x',
        '/v1\\chat\\completions',
        '/v1/x?%',
        '/v1/x#y',
      ],
      ...[`/v1/${'a/'.repeat(3000)}chat/completions`, `/v1/${'v1/'.repeat(3000)}chat/completions`, '/v1/__proto__'],
      ...[
        '/v1/\xff\xfe',
        '/v1/x/v1/chat/completions',
        'https://evil.example/v1/',
        '/v1?key=__proto__',
        '/v1/a%0d%0aX:y',
      ],
    ].map((path) => [path, anyShape, { model: 'gpt-4o' }] as const),
  ];

const methods = ['POST', 'POST', 'POST', 'POST', 'GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD', 'PURGE'];

/** A request to LLM routes: some good, most of them not. */
export function guardRequest(random: Random, secret: string): HostileRequest {
  const [target, shapes, fields] = pick(random, routes);
  const method = pick(random, methods);
  const model = random() < 0.3 ? { model: pick(random, models) } : {};
  const body = hostileBody(random, jsonOf(random, { ...fields, ...model }, extraFields));
  const hasBody = (method !== 'GET' && method !== 'HEAD') || random() < 0.2;
  const type: Header = ['Content-Type', random() < 0.7 ? 'application/json' : pick(random, contentTypes)];
  const headers = [...credentials(random, secret), type, ...hostileHeaders(random)];
  return framed(random, { method, target, headers, body: hasBody ? body : '', shapes: [...shapes, 'app'] });
}

const keyFields = [
  ...['name', 'models', 'modelIds', 'endpoints', 'permissions', 'ownerId', 'teamId', 'expiresAt', 'expiresInDays'],
  ...[
    'rpmLimit',
    'tpmLimit',
    'maxBudget',
    'softBudget',
    'budgetDuration',
    'budgets',
    'modelRpmLimit',
    'modelMaxBudget',
  ],
  ...['maxTokensPerRequest', 'tags', 'metadata', 'version', 'reason', 'graceSeconds', 'secret', ...pollution],
];

/** A request to the admin routes. */
export function adminRequest(random: Random, secret: string, keyId: string, adminToken = 'any'): HostileRequest {
  const id = pick(random, [
    keyId,
    'x',
    '__proto__',
    '%00',
    '%E0%A4%A',
    '..',
    '%2e%2e',
    'a'.repeat(5000),
    secret,
    '\xff',
  ]);
  const [path, isOurs] = pick<readonly [string, boolean]>(random, [
    ['', true],
    ['/', true],
    [`/${id}`, true],
    [`/${keyId}`, true],
    [`/${id}/rotate`, true],
    [`/${id}/usage?days=${pick(random, ['1', '0', '-1', '1e9', '', '%00', '__proto__'])}&groupBy=__proto__`, true],
    [`/${id}/audit`, true],
    ['/verify', true],
    ['/me', true],
    ['/stats', true],
    ['/audit?cursor=%ff&limit=1e9', true],
    ['/defaults', true],
    ['/policies/global', true],
    [`/policies/user/${id}`, true],
    [`/policies/${id}/x`, true],
    [
      `?limit=${pick(random, ['1', '0', '101', 'x'])}&cursor=${bytesOf(random, 5)}&status=__proto__&__proto__[x]=1`,
      true,
    ],
    [`/${id}/x/y`, false],
    ['//', false],
    ['/policies/user/a/b', false],
  ]);
  const method = pick(random, ['GET', 'POST', 'PATCH', 'PUT', 'OPTIONS', 'HEAD', 'PURGE', 'GET', 'POST']);
  const body = hostileBody(random, jsonOf(random, { name: 'Key', models: ['gpt-4o'] }, keyFields));
  const hasBody = method !== 'GET' && method !== 'HEAD';
  const type: Header = ['Content-Type', random() < 0.8 ? 'application/json' : pick(random, contentTypes)];
  const authorization: Header = ['Authorization', `Bearer ${random() < 0.8 ? adminToken : secret}`];
  const shapes: readonly Shape[] = isOurs ? ['openai'] : ['openai', 'app'];
  const headers = [authorization, type, ...hostileHeaders(random)];
  return framed(random, { method, target: `/api-keys${path}`, headers, body: hasBody ? body : '', shapes });
}
