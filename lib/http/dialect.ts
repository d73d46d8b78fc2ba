import type { IncomingHttpHeaders } from 'node:http';

/** Whose error bodies and rate-limit headers a client understands. */
export type Dialect = 'openai' | 'anthropic' | 'gemini';

/**
 * The dialect of a request: that of its route; else of the headers that only one provider's clients send; else OpenAI's.
 * The place of the credential says nothing but for Gemini: Anthropic's clients have moved theirs to Authorization.
 */
export function dialectOf(
  route: { readonly dialect: Dialect | null } | undefined,
  headers: IncomingHttpHeaders,
): Dialect {
  const ofRoute = route?.dialect ?? null;
  if (ofRoute !== null) return ofRoute;
  if (headers['anthropic-version'] !== undefined) return 'anthropic';
  return headers['x-goog-api-key'] === undefined ? 'openai' : 'gemini';
}
