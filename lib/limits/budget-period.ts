import type { BudgetDuration } from './limit.ts';

/** A stretch of time that a budget is for: `[startMs, endMs)`, without end for `total`. */
export interface Period {
  readonly startMs: number;
  readonly endMs: number | null;
}

const dayMs = 86_400_000;
const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: dayMs } as const;
const calendarWords = new Set(['hourly', 'daily', 'weekly', 'monthly', 'yearly', 'total']);
const longestDays = 3650;

/**
 * Whether a text is a duration: a calendar word, or a whole number of `s`, `m`, `h`, `d` or `mo`, from one second to ten
 * years.
 */
export function isBudgetDuration(text: string): boolean {
  return calendarWords.has(text) || readLength(text) !== undefined;
}

/**
 * The period that contains `nowMs`. Calendar words are UTC, weeks begin on Monday; lengths are counted from the anchor,
 * days as 24 hours, months always from the anchor itself, so that 31 January + 1mo is 28 February and + 2mo is 31 March.
 *
 * @throws RangeError when the text is no duration
 */
export function periodAt(duration: BudgetDuration, anchorMs: number, nowMs: number): Period {
  if (duration === 'total') return { startMs: 0, endMs: null };
  if (calendarWords.has(duration)) return calendarPeriod(duration, nowMs);
  const length = readLength(duration);
  if (length === undefined) throw new RangeError(`"${duration}" is not a budget duration`);
  if (length.unit === 'mo') return monthsPeriod(length.count, anchorMs, nowMs);
  const lengthMs = length.count * unitMs[length.unit];
  const startMs = anchorMs + Math.floor((nowMs - anchorMs) / lengthMs) * lengthMs;
  return { startMs, endMs: startMs + lengthMs };
}

type Length =
  | { readonly count: number; readonly unit: keyof typeof unitMs }
  | { readonly count: number; readonly unit: 'mo' };

function readLength(text: string): Length | undefined {
  const match = /^([1-9]\d{0,8})(s|m|h|d|mo)$/.exec(text);
  if (match === null) return undefined;
  const count = Number(match[1]);
  const unit = match[2] as Length['unit'];
  const days = unit === 'mo' ? count * 30 : (count * unitMs[unit]) / dayMs;
  return days <= longestDays ? { count, unit } : undefined;
}

function calendarPeriod(word: string, nowMs: number): Period {
  const now = new Date(nowMs);
  const year = now.getUTCFullYear();
  const month = now.getUTCMonth();
  if (word === 'yearly') return { startMs: Date.UTC(year, 0), endMs: Date.UTC(year + 1, 0) };
  if (word === 'monthly') return { startMs: Date.UTC(year, month), endMs: Date.UTC(year, month + 1) };
  if (word === 'hourly') return aligned(nowMs, unitMs.h, 0);
  if (word === 'daily') return aligned(nowMs, dayMs, 0);
  // 5 January 1970 was a Monday.
  return aligned(nowMs, 7 * dayMs, 4 * dayMs);
}

function aligned(nowMs: number, lengthMs: number, originMs: number): Period {
  const startMs = originMs + Math.floor((nowMs - originMs) / lengthMs) * lengthMs;
  return { startMs, endMs: startMs + lengthMs };
}

function monthsPeriod(count: number, anchorMs: number, nowMs: number): Period {
  const anchor = new Date(anchorMs);
  const now = new Date(nowMs);
  const months = (now.getUTCFullYear() - anchor.getUTCFullYear()) * 12 + now.getUTCMonth() - anchor.getUTCMonth();
  let periods = Math.floor(months / count);
  // The day of the month or the time of day may put the boundary of this month still ahead.
  while (addMonths(anchorMs, periods * count) > nowMs) periods -= 1;
  return { startMs: addMonths(anchorMs, periods * count), endMs: addMonths(anchorMs, (periods + 1) * count) };
}

function addMonths(anchorMs: number, months: number): number {
  const anchor = new Date(anchorMs);
  const lastDay = new Date(Date.UTC(anchor.getUTCFullYear(), anchor.getUTCMonth() + months + 1, 0)).getUTCDate();
  const day = Math.min(anchor.getUTCDate(), lastDay);
  return Date.UTC(anchor.getUTCFullYear(), anchor.getUTCMonth() + months, day) + (anchorMs % dayMs);
}
