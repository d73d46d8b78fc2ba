/** How an amount of usage came to be known. */
export type UsageSource =
  /** The provider said so. */
  | 'reported'
  /** Nothing was reported: charged by the estimate, or by what was seen. */
  | 'estimated'
  /** The answer broke off: charged by what was seen until then. */
  | 'partial'
  /** The hold was never settled: charged by its estimate when its lease ended. */
  | 'abandoned'
  /** Settled after the ledger had lost the hold. */
  | 'lost_hold'
  /** A correction by an operator, such as a reset of spend. */
  | 'adjustment'
  /** Measured elsewhere and handed in by `recordUsage`. */
  | 'external';

/**
 * Tokens of one upstream call, normalised over all providers: `inputTokens` includes what was read from and written to
 * a prompt cache, `outputTokens` includes reasoning.
 */
export interface TokenUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cacheReadTokens: number;
  readonly cacheWriteTokens: number;
}

/** Who made a call, and of what. */
export interface UsageSubject {
  readonly keyId: string;
  readonly ownerId: string | null;
  readonly teamId: string | null;
  /** As the caller asked for it; `null` for routes without a model. */
  readonly model: string | null;
  readonly endpoint: string | null;
}

/** One line of the usage record. There is one for each (hold, call); a late settlement replaces the abandoned one. */
export interface UsageEvent extends UsageSubject, TokenUsage {
  readonly holdId: string;
  readonly callId: string;
  readonly source: UsageSource;
  /** 1 for a call, 0 for an adjustment. */
  readonly requests: number;
  /** Negative in adjustments only. */
  readonly costNanoUsd: number;
  /** When the call was admitted, by the store's clock: the usage belongs to the periods of that moment. */
  readonly atMs: number;
  /** Free text of the caller, such as the request id of a log. */
  readonly trace: string | null;
}

/** Sums over usage events. */
export interface UsageTotals extends TokenUsage {
  readonly requests: number;
  readonly costNanoUsd: number;
}

/** What usage sums may be grouped by. `day` is a UTC date `YYYY-MM-DD`. */
export type UsageDimension = 'key' | 'owner' | 'team' | 'model' | 'day' | 'endpoint';

export interface UsageQuery {
  /**
   * Sums of one key hold its adjustments, so that they are its spend. An adjustment belongs to the key alone: sums over
   * owners, teams or all leave it out, and no reset of a key makes its team's money free.
   */
  readonly keyId?: string | undefined;
  /** Any of these owners. */
  readonly ownerIds?: readonly string[] | undefined;
  /** Any of these teams. */
  readonly teamIds?: readonly string[] | undefined;
  readonly model?: string | undefined;
  /** Inclusive; sums are kept by the hour, and the hour that contains it counts whole. */
  readonly fromMs?: number | undefined;
  /** Exclusive; likewise by the hour. */
  readonly untilMs?: number | undefined;
  readonly groupBy: readonly UsageDimension[];
}

/** One group of a usage query: the values it is grouped by, and its sums. */
export interface UsageRow extends UsageTotals {
  readonly group: { readonly [dimension in UsageDimension]?: string | null };
}

export const noTokens: TokenUsage = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };

/** More tokens than any one call can have: larger counts are mistakes. */
export const maxTokenCount = 1e9;

/** Whether these counts can be true of one call: whole, not negative, no more cached than was sent. */
export function isTokenUsage(usage: TokenUsage): boolean {
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = usage;
  return (
    isTokenCount(inputTokens) &&
    isTokenCount(outputTokens) &&
    isTokenCount(cacheReadTokens) &&
    isTokenCount(cacheWriteTokens) &&
    cacheReadTokens + cacheWriteTokens <= inputTokens
  );
}

function isTokenCount(tokens: number): boolean {
  return Number.isInteger(tokens) && tokens >= 0 && tokens <= maxTokenCount;
}

export function addUsage(a: TokenUsage, b: TokenUsage): TokenUsage {
  return {
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    cacheReadTokens: a.cacheReadTokens + b.cacheReadTokens,
    cacheWriteTokens: a.cacheWriteTokens + b.cacheWriteTokens,
  };
}
