/** Whether a name matches a pattern: exact, `prefix*`, or `*` for all. Case counts. */
export function matchesPattern(pattern: string, name: string): boolean {
  if (!pattern.endsWith('*')) return pattern === name;
  return name.startsWith(pattern.slice(0, -1));
}
