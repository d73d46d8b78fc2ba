import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { ProviderDialect } from '../testing/echo-model/provider-error.ts';
import type { Upstream } from './environment.ts';

/** What an upstream may know of the client's request. Credentials, cookies and addresses are not among it. */
const requestHeaderNames: ReadonlySet<string> = new Set([
  'accept',
  'content-type',
  'user-agent',
  'anthropic-version',
  'anthropic-beta',
  'openai-beta',
  'x-goog-api-client',
]);

/** What a client may know of the upstream's answer. Limits, accounts and cookies of the gateway are not among it. */
const responseHeaderNames: readonly string[] = [
  'content-type',
  'content-length',
  'content-encoding',
  'content-disposition',
  'cache-control',
  'retry-after',
  'retry-after-ms',
  'x-should-retry',
  'openai-processing-ms',
  'openai-version',
];

/** Anthropic's clients of this version and later send their key as a bearer token; those before have `x-api-key`. */
const bearerSinceVersion = '2026-10-21';
const oldestAnthropicVersion = '2023-06-01';

/**
 * Where requests go upstream, as paths on its origin. A base URL with a version, such as `https://api.openai.com/v1`,
 * takes the place of the version of the request, as it does for the clients of OpenAI.
 */
export function upstreamPaths(baseUrl: URL): (target: string) => string {
  const base = baseUrl.pathname.replace(/\/+$/, '');
  const isVersioned = /\/v\d\w*(\/|$)/.test(base);
  // A base for OpenAI's routes serves Gemini's beside them.
  const baseOfGemini = base.replace(/\/v1$/, '/v1beta');

  return (target) => {
    const { pathname, query } = split(target);
    const [, version = '', rest = pathname] = versioned.exec(pathname) ?? [];
    if (!isVersioned) return `${base}${pathname}${query}`;
    return `${version.toLowerCase() === 'v1beta' ? baseOfGemini : base}${rest}${query}`;
  };
}

const versioned = /^\/(v1|v1beta)(\/.*)$/i;
/** Scheme and authority of a target in absolute form. */
const origin = /^https?:\/\/[^/?#]*/i;

function split(target: string): { readonly pathname: string; readonly query: string } {
  const path = target.startsWith('/') ? target : target.replace(origin, '');
  const queryAt = path.indexOf('?');
  if (queryAt < 0) return { pathname: path, query: '' };
  return { pathname: path.slice(0, queryAt), query: withoutKey(path.slice(queryAt + 1)) };
}

/** Gemini's clients may send a key here. */
function withoutKey(search: string): string {
  const params = new URLSearchParams(search);
  params.delete('key');
  return params.size === 0 ? '' : `?${params}`;
}

/** The headers of a request upstream: what it may know, and the upstream's credential where the provider reads it. */
export function upstreamHeaders(
  { apiKey }: Upstream,
  dialect: ProviderDialect,
  headers: IncomingHttpHeaders,
): Record<string, string> {
  // What passes is read for its usage, and a usage chunk may be cut from it.
  const sent: Record<string, string> = { 'accept-encoding': 'identity' };
  for (const name in headers) {
    const value = headers[name];
    if (typeof value !== 'string') continue;
    if (requestHeaderNames.has(name) || name.startsWith('x-stainless-')) sent[name] = value;
  }
  if (dialect === 'anthropic') sent['anthropic-version'] ??= oldestAnthropicVersion;
  return apiKey === undefined ? sent : { ...sent, ...credential(apiKey, dialect, headers) };
}

function credential(apiKey: string, dialect: ProviderDialect, headers: IncomingHttpHeaders): Record<string, string> {
  if (dialect === 'gemini') return { 'x-goog-api-key': apiKey };
  const version = String(headers['anthropic-version'] ?? oldestAnthropicVersion);
  const isKeyHeader = dialect === 'anthropic' && version < bearerSinceVersion;
  return isKeyHeader ? { 'x-api-key': apiKey } : { authorization: `Bearer ${apiKey}` };
}

/** The headers of an answer that go on to the client. */
export function clientHeaders(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const passed: OutgoingHttpHeaders = {};
  for (const name of responseHeaderNames) if (headers[name] !== undefined) passed[name] = headers[name];
  return passed;
}
