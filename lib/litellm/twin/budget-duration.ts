import { periodAt } from '../../limits/budget-period.ts';
import type { BudgetDuration } from '../../limits/limit.ts';

/** How a budget's period is told to LiteLLM. */
export interface TwinPeriod {
  /** `null`: LiteLLM does not start the budget anew. */
  readonly duration: string | null;
  /** Whether LiteLLM's period begins and ends when ours does. */
  readonly isSame: boolean;
}

/** A period that only we know of: at its start the spend of the twin is set to zero. */
export interface OwnPeriod {
  readonly startMs: number;
  readonly endMs: number;
}

const words: { readonly [word: string]: string } = { hourly: '1h', daily: '1d', weekly: '7d', monthly: '1mo' };

/**
 * The period in the forms that every release reads alike. LiteLLM's periods are those of the calendar: hours above 24 end
 * at the next midnight, `7d` on Monday, `30d` and `1mo` on the 1st.
 */
export function twinPeriod(duration: BudgetDuration | null): TwinPeriod {
  if (duration === null || duration === 'total') return { duration: null, isSame: true };
  const word = words[duration];
  if (word !== undefined) return { duration: word, isSame: true };
  if (duration === '1mo' || /^\d+[smhd]$/.test(duration)) return { duration, isSame: false };
  return { duration: null, isSame: true };
}

/** The current period of a budget that LiteLLM would never start anew, such as a yearly one. */
export function ownPeriod(duration: BudgetDuration | null, anchorMs: number, nowMs: number): OwnPeriod | undefined {
  if (duration === null || twinPeriod(duration).duration !== null) return undefined;
  const { startMs, endMs } = periodAt(duration, anchorMs, nowMs);
  return endMs === null ? undefined : { startMs, endMs };
}
