/** What is stored was written by this package, unless somebody edited it by hand: then it is nonsense, and told as such. */
export function check(condition: boolean): asserts condition {
  if (!condition) throw new TypeError('what is stored is nothing that this version writes');
}

export function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

export function isText(value: unknown): value is string {
  return typeof value === 'string';
}

export function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}

export function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/** A whole number that is not negative. */
export function isAmount(value: unknown): value is number {
  return isWhole(value) && value >= 0;
}
