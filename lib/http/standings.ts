import type { LimitStanding } from '../keys/admissions.ts';
import type { PlannedLimit, PlannedWindow } from '../limits/limit.ts';
import { cellsPerWindow } from '../limits/window.ts';
import type { RateLimitStandings, ResettingStanding } from './rate-limit-headers.ts';

/** How the limits over a request stand, as headers tell it: by the tightest of each kind. */
export function rateLimitStandings(standings: readonly LimitStanding[], nowMs: number): RateLimitStandings {
  return {
    requests: tightest(standings, nowMs, ({ measure }) => measure === 'requests'),
    tokens: tightest(standings, nowMs, ({ measure }) => measure === 'tokens'),
    rpm: tightest(standings, nowMs, ({ id }) => id === 'rpm'),
    tpm: tightest(standings, nowMs, ({ id }) => id === 'tpm'),
  };
}

function tightest(
  standings: readonly LimitStanding[],
  nowMs: number,
  isMeant: (limit: PlannedLimit) => boolean,
): ResettingStanding | null {
  let found: ResettingStanding | null = null;
  for (const { limit, remaining } of standings) {
    if (!('windowMs' in limit) || limit.limit === null || !isMeant(limit)) continue;
    if (found !== null && found.remaining <= remaining) continue;
    const resetMs = remaining < limit.limit ? untilFree(limit, nowMs) : 0;
    found = { limit: limit.limit, remaining, resetMs, windowMs: limit.windowMs };
  }
  return found;
}

/** When all that counts now has left the window: the newest cell leaves last. */
function untilFree({ windowMs }: PlannedWindow, nowMs: number): number {
  const cellMs = windowMs / cellsPerWindow;
  return (Math.floor(nowMs / cellMs) + cellsPerWindow + 1) * cellMs - nowMs;
}
