import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { ProviderDialect } from '../testing/echo-model/provider-error.ts';
import type { Upstream } from './environment.ts';

/** What an upstream may know of the client's request. Credentials, cookies and addresses are not among it. */
const requestHeaderNames = [
  'accept',
  'content-type',
  'user-agent',
  'anthropic-version',
  'anthropic-beta',
  'openai-beta',
  'x-goog-api-client',
];

/** What a client may know of the upstream's answer. Limits, accounts and cookies of the gateway are not among it. */
const responseHeaderNames = [
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
 * Where a request goes upstream. A base URL with a version, such as `https://api.openai.com/v1`, takes the place of the
 * version of the request, as it does for the clients of OpenAI.
 */
export function upstreamUrl(baseUrl: URL, target: string): URL {
  const { pathname, searchParams } = new URL(target, baseUrl);
  const [, version = '', rest = pathname] = /^\/(v1|v1beta)(\/.*)$/i.exec(pathname) ?? [];
  const base = baseUrl.pathname.replace(/\/+$/, '');
  const url = new URL(baseUrl);
  url.pathname = hasVersion(base) ? `${ofGemini(base, version)}${rest}` : `${base}${pathname}`;
  // Gemini's clients may send a key here.
  searchParams.delete('key');
  url.search = searchParams.toString();
  return url;
}

function hasVersion(path: string): boolean {
  return /\/v\d\w*(\/|$)/.test(path);
}

/** A base for OpenAI's routes serves Gemini's beside them. */
function ofGemini(base: string, version: string): string {
  return version.toLowerCase() === 'v1beta' ? base.replace(/\/v1$/, '/v1beta') : base;
}

/** The headers of a request upstream: what it may know, and the upstream's credential where the provider reads it. */
export function upstreamHeaders(
  { apiKey }: Upstream,
  dialect: ProviderDialect,
  headers: IncomingHttpHeaders,
): OutgoingHttpHeaders {
  const known = Object.entries(headers).filter(
    ([name]) => requestHeaderNames.includes(name) || name.startsWith('x-stainless-'),
  );
  return {
    ...Object.fromEntries(known),
    // What passes is read for its usage, and a usage chunk may be cut from it.
    'accept-encoding': 'identity',
    ...(dialect === 'anthropic' && { 'anthropic-version': headers['anthropic-version'] ?? oldestAnthropicVersion }),
    ...(apiKey !== undefined && credential(apiKey, dialect, headers)),
  };
}

function credential(apiKey: string, dialect: ProviderDialect, headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  if (dialect === 'gemini') return { 'x-goog-api-key': apiKey };
  const version = String(headers['anthropic-version'] ?? oldestAnthropicVersion);
  const isKeyHeader = dialect === 'anthropic' && version < bearerSinceVersion;
  return isKeyHeader ? { 'x-api-key': apiKey } : { authorization: `Bearer ${apiKey}` };
}

/** The headers of an answer that go on to the client. */
export function clientHeaders(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => responseHeaderNames.includes(name)));
}
