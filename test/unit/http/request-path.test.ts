import assert from 'node:assert/strict';
import fc from 'fast-check';
import { readRequestPath } from '../../../lib/http/request-path.ts';

describe('readRequestPath', () => {
  const paths: readonly [url: string, path: string][] = [
    ['/v1/chat/completions', '/v1/chat/completions'],
    ['/v1/EMBEDDINGS/', '/v1/embeddings'],
    ['/v1/chat/completions?api-version=2024&x=//..', '/v1/chat/completions'],
    ['/v1/%63hat/completions#part', '/v1/chat/completions'],
    ['https://proxy.example:8443/v1/models?x=1', '/v1/models'],
    ['HTTP://host/v1/models', '/v1/models'],
    ['/v1/models/a%2525b', '/v1/models/a%25b'],
    ['/v1/models/..gpt', '/v1/models/..gpt'],
    ['/v1/models/mod%C3%A8le', '/v1/models/modèle'],
    ['/', '/'],
    ['/?x=1', '/'],
    ['https://host', '/'],
  ];
  for (const [url, path] of paths) {
    it(`reads ${path} from ${url}`, () => assert.equal(readRequestPath(url)?.path, path));
  }

  it('keeps the parts in the case they came in', () => {
    assert.deepEqual(readRequestPath('/V1beta/models/Gemini%2D2.5:generateContent'), {
      path: '/v1beta/models/gemini-2.5:generatecontent',
      segments: ['v1beta', 'models', 'gemini-2.5:generatecontent'],
      originals: ['V1beta', 'models', 'Gemini-2.5:generateContent'],
    });
  });

  const ambiguous = [
    ...[
      '/v1/../admin',
      '/v1/./chat',
      '/v1/%2e%2e/admin',
      '/v1/%2E',
      '/..',
      '/.',
      '//v1/chat',
      '/v1//chat',
      '/v1/chat//',
    ],
    ...['/v1/a%2fb', '/v1/a%2Fb', '/v1/a%5cb', '/v1/a\\b', '/v1/%', '/v1/%zz', '/v1/%c3', '/v1/a%00', '/v1/a%0Ab'],
    ...['', '*', 'v1/chat', 'ftp://host/v1', 'host:443'],
  ];
  for (const url of ambiguous) {
    it(`has no path for ${JSON.stringify(url)}`, () => assert.equal(readRequestPath(url), undefined));
  }

  it('gives one path back as it is, and never one with empty, dot or slash segments', () => {
    fc.assert(
      fc.property(fc.webPath(), (url) => {
        const read = readRequestPath(url);
        if (read === undefined) return;
        assert.ok(!read.segments.some((segment) => ['', '.', '..'].includes(segment) || segment.includes('/')));
        assert.equal(readRequestPath(`/${read.segments.map(encodeURIComponent).join('/')}`)?.path, read.path);
      }),
    );
  });
});
