import type { MeterResult } from './meter.ts';
import type { TokenUsage, UsageSource } from './usage.ts';

export interface ChargedUsage {
  readonly usage: TokenUsage;
  readonly source: Extract<UsageSource, 'reported' | 'partial' | 'estimated'>;
}

/**
 * What a successful response is charged, as far as the meter could read it: what was reported; else what was reported
 * until it broke off and what was seen after that; else what was seen; else, where nothing could be seen, the estimate
 * under which the request was admitted.
 */
export function chargedUsage(result: MeterResult, estimate: TokenUsage): ChargedUsage {
  const { usage, seen, complete, error } = result;
  const isWhole = complete && !error;
  if (usage !== null) {
    if (isWhole) return { usage, source: 'reported' };
    return { usage: { ...usage, outputTokens: usage.outputTokens + seen.outputTokens }, source: 'partial' };
  }
  const outputTokens = sawAll(result) ? seen.outputTokens : Math.max(seen.outputTokens, estimate.outputTokens);
  return { usage: { ...estimate, outputTokens }, source: isWhole || wasUnreadable(result) ? 'estimated' : 'partial' };
}

/** Whether its end could not be told either, so that it passes for whole. */
function wasUnreadable({ problem }: MeterResult): boolean {
  return problem !== undefined && problem !== 'not_json' && problem !== 'impossible_usage';
}

/** Whether what was seen is all that came. A whole answer in which nothing was seen told it in ways unknown here. */
function sawAll({ seen, complete, error, problem }: MeterResult): boolean {
  if (problem !== undefined && problem !== 'impossible_usage') return false;
  return seen.outputTokens > 0 || !complete || error;
}
