/**
 * Values as they stand in a statement. Several statements go to the server in one message, which carries no parameters:
 * every value passes through here.
 */

export function text(value: string): string {
  const stored = storable(value);
  if (stored.includes('\\')) return ` E'${stored.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
  return stored.includes("'") ? `'${stored.replaceAll("'", "''")}'` : `'${stored}'`;
}

/** A NUL would end the message. Postgres cannot store one, as it cannot store half a surrogate pair. */
export function storable(value: string): string {
  return value.includes('\0') ? value.replaceAll('\0', '\ufffd') : value;
}

export function textOrNull(value: string | null): string {
  return value === null ? 'null' : text(value);
}

/** @throws TypeError unless it is a whole number that is exact */
export function integer(value: number): string {
  if (!Number.isSafeInteger(value)) throw new TypeError(`${value} is no whole number that is exact`);
  return String(value);
}

export function list(values: Iterable<string>): string {
  return Array.from(values, text).join(',');
}
