/**
 * Refuses options that do not exist, so that a mistyped limit is not a missing one.
 *
 * @throws TypeError naming the option, and the one that was probably meant
 */
export function refuseUnknownOptions(where: string, options: object, names: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (names.includes(name)) continue;
    const meant = names.find((candidate) => candidate.toLowerCase() === name.toLowerCase()) ?? closest(name, names);
    const hint = meant === undefined ? `the options are ${names.join(', ')}` : `did you mean "${meant}"?`;
    throw new TypeError(`${where}: there is no option "${name}"; ${hint}`);
  }
}

function closest(name: string, names: readonly string[]): string | undefined {
  return names.find((candidate) => candidate.startsWith(name.slice(0, 4)) || name.startsWith(candidate.slice(0, 4)));
}
