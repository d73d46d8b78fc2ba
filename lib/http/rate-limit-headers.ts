import { goDuration } from './go-duration.ts';

/** Families of headers that tell how limits stand. */
export type HeaderFamily = 'openai' | 'anthropic' | 'ietf' | 'legacy';

/** How one limit stands. */
export interface Standing {
  readonly limit: number;
  readonly remaining: number;
}

/** How the tightest limit of a kind stands, and how long until all of it is free again. */
export interface ResettingStanding extends Standing {
  readonly resetMs: number;
  readonly windowMs: number;
}

/** How the limits over a request stand; `null`: there is none. */
export interface RateLimitStandings {
  readonly requests: ResettingStanding | null;
  readonly tokens: ResettingStanding | null;
  /** By the minute alone. */
  readonly rpm: Standing | null;
  readonly tpm: Standing | null;
}

type Headers = Record<string, string>;

interface Family {
  readonly names: readonly string[];
  readonly write: (headers: Headers, standings: RateLimitStandings, nowMs: number) => void;
}

const families: { readonly [family in HeaderFamily]: Family } = {
  openai: resettingFamily(
    (kind) => ({
      kind,
      limit: `x-ratelimit-limit-${kind}`,
      remaining: `x-ratelimit-remaining-${kind}`,
      reset: `x-ratelimit-reset-${kind}`,
    }),
    ({ resetMs }) => goDuration(resetMs),
  ),
  anthropic: resettingFamily(
    (kind) => ({
      kind,
      limit: `anthropic-ratelimit-${kind}-limit`,
      remaining: `anthropic-ratelimit-${kind}-remaining`,
      reset: `anthropic-ratelimit-${kind}-reset`,
    }),
    ({ resetMs }, nowMs) => rfc3339(nowMs + Math.max(0, resetMs)),
  ),
  // draft-ietf-httpapi-ratelimit-headers. It has no registered unit for tokens, so they are left out.
  ietf: {
    names: ['RateLimit-Policy', 'RateLimit'],
    write(headers, { requests }) {
      if (requests === null) return;
      headers['RateLimit-Policy'] = `"requests";q=${requests.limit};w=${seconds(requests.windowMs)}`;
      headers.RateLimit = `"requests";r=${left(requests)};t=${seconds(requests.resetMs)}`;
    },
  },
  legacy: {
    names: ['X-RateLimit-Limit-RPM', 'X-RateLimit-Remaining-RPM', 'X-RateLimit-Limit-TPM', 'X-RateLimit-Remaining-TPM'],
    write(headers, { rpm, tpm }) {
      headers['X-RateLimit-Limit-RPM'] = rpm === null ? unlimited : String(rpm.limit);
      headers['X-RateLimit-Remaining-RPM'] = rpm === null ? unlimited : left(rpm);
      headers['X-RateLimit-Limit-TPM'] = tpm === null ? unlimited : String(tpm.limit);
      headers['X-RateLimit-Remaining-TPM'] = tpm === null ? unlimited : left(tpm);
    },
  },
};

const unlimited = 'unlimited';

export const headerFamilies = Object.keys(families) as readonly HeaderFamily[];

/** How the limits stand, in headers of each family asked for. Nothing is told below 0. */
export function rateLimitHeaders(
  asked: readonly HeaderFamily[],
  standings: RateLimitStandings,
  nowMs: number,
): Readonly<Headers> {
  const headers: Headers = {};
  for (const family of asked) families[family].write(headers, standings, nowMs);
  return headers;
}

/** Names of all headers that these families may set. */
export function rateLimitHeaderNames(asked: readonly HeaderFamily[]): readonly string[] {
  return asked.flatMap((family) => families[family].names);
}

/** Names for `Access-Control-Expose-Headers`: without it a browser's client sees none of ours. */
export function exposedHeaders(asked: readonly HeaderFamily[]): readonly string[] {
  const always = ['x-request-id', 'request-id', 'Retry-After', 'retry-after-ms', 'x-should-retry'];
  return [...always, ...rateLimitHeaderNames(asked)];
}

interface KindNames {
  readonly kind: 'requests' | 'tokens';
  readonly limit: string;
  readonly remaining: string;
  readonly reset: string;
}

/** A family of three headers for requests, and three for tokens. */
function resettingFamily(
  namesOf: (kind: KindNames['kind']) => KindNames,
  resetOf: (standing: ResettingStanding, nowMs: number) => string,
): Family {
  const kinds = [namesOf('requests'), namesOf('tokens')];
  return {
    names: kinds.flatMap(({ limit, remaining, reset }) => [limit, remaining, reset]),
    write(headers, standings, nowMs) {
      for (const { kind, limit, remaining, reset } of kinds) {
        const standing = standings[kind];
        if (standing === null) continue;
        headers[limit] = String(standing.limit);
        headers[remaining] = left(standing);
        headers[reset] = resetOf(standing, nowMs);
      }
    },
  };
}

function left({ remaining }: Standing): string {
  return String(Math.max(0, Math.floor(remaining)));
}

function seconds(ms: number): number {
  return Math.max(0, Math.ceil(ms / 1000));
}

/** To the second, and not before the moment meant. */
function rfc3339(atMs: number): string {
  return new Date(Math.ceil(atMs / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}
