import type { Request, Response } from 'express';
import type { LimitStanding } from '../keys/admissions.ts';
import { type Dialect, dialectOf } from './dialect.ts';
import { exposing } from './expose-headers.ts';
import { type HeaderFamily, headerFamilies, rateLimitHeaderNames, rateLimitHeaders } from './rate-limit-headers.ts';
import { beforeHead } from './response-head.ts';
import type { Route } from './route.ts';
import { rateLimitStandings } from './standings.ts';

/** Sets a response's headers when its head is sent, in place of those that an upstream has given it. */
export type TellStandings = (
  req: Request,
  res: Response,
  route: Route,
  standings: readonly LimitStanding[],
  nowMs: number,
) => void;

/**
 * Tells how the limits stand in headers.
 *
 * @param chosen the families of headers; `undefined`: those that clients of the route expect
 */
export function standingsTeller(chosen: readonly HeaderFamily[] | undefined): TellStandings {
  const dialects = {
    openai: familiesToTell(chosen ?? ['openai', 'legacy']),
    anthropic: familiesToTell(chosen ?? ['anthropic', 'legacy']),
    // Gemini has no headers of its own for limits.
    gemini: familiesToTell(chosen ?? ['legacy']),
  } satisfies { readonly [dialect in Dialect]: unknown };

  return (req, res, route, standings, nowMs) => {
    const { families, expose } = dialects[dialectOf(route, req.headers)];
    const headers = rateLimitHeaders(families, rateLimitStandings(standings, nowMs), nowMs);
    beforeHead(res, () => {
      for (const name of res.getHeaderNames()) if (isUpstreamStanding(name)) res.removeHeader(name);
      for (const name in headers) res.setHeader(name, headers[name] ?? '');
      expose(res);
    });
  };
}

function familiesToTell(families: readonly HeaderFamily[]) {
  return { families, expose: exposing(families) };
}

/** Such headers of an upstream describe the operator's key there, not this one. */
function isUpstreamStanding(name: string): boolean {
  return name.includes('ratelimit') && (ofProviders.test(name) || ownNames.has(name));
}

// OpenAI's have a part for what is limited, such as `-project-tokens`; those of other rate limiters have none.
const ofProviders = /^(?:x-ratelimit-(?:limit|remaining|reset)-|anthropic-ratelimit-)/;
const ownNames = new Set(rateLimitHeaderNames(headerFamilies).map((name) => name.toLowerCase()));
