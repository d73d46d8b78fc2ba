const isoMoment = /^\d{4}-\d\d-(\d\d)T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/;
/** The end of the year 9999, after which ISO 8601 needs more digits. */
const lastMs = 253_402_300_799_999;

/**
 * Epoch milliseconds of a moment given as ISO 8601 with a zone, as whole milliseconds or as a Date; `undefined` for
 * anything else, and outside the years 1970 to 9999.
 */
export function readMoment(value: unknown): number | undefined {
  const ms = momentMs(value);
  return Number.isSafeInteger(ms) && ms >= 0 && ms <= lastMs ? ms : undefined;
}

function momentMs(value: unknown): number {
  if (typeof value === 'number') return value;
  if (value instanceof Date) return value.getTime();
  if (typeof value !== 'string') return Number.NaN;
  const match = isoMoment.exec(value);
  // `Date.parse` reads 30 February as 2 March.
  const dayOfMonth = new Date(`${value.slice(0, 10)}T00:00:00Z`).getUTCDate();
  return match !== null && dayOfMonth === Number(match[1]) ? Date.parse(value) : Number.NaN;
}
