const maxNameLength = 64;

/**
 * Refuses options that do not exist, so that a mistyped limit is not a missing one.
 *
 * @throws TypeError naming the option, and the one that was probably meant; and where there are no options at all
 */
export function refuseUnknownOptions(where: string, options: object, names: readonly string[]): void {
  if (typeof options !== 'object' || options === null) throw new TypeError(`${where}: options must be an object`);
  for (const name of Object.keys(options)) {
    if (names.includes(name)) continue;
    const meant = meantName(name, names);
    const hint = meant === undefined ? `the options are ${names.join(', ')}` : `did you mean "${meant}"?`;
    throw new TypeError(`${where}: there is no option "${name}"; ${hint}`);
  }
}

/** Says that an input has no such field, and which was probably meant. A long name is not repeated whole. */
export function unknownField(name: string, names: readonly string[]): string {
  const meant = meantName(name, names);
  const told = name.length <= maxNameLength ? name : `${name.slice(0, maxNameLength)}…`;
  return `there is no field ${JSON.stringify(told)}${meant === undefined ? '' : `; did you mean "${meant}"?`}`;
}

function meantName(name: string, names: readonly string[]): string | undefined {
  if (name === '') return undefined;
  return names.find((candidate) => candidate.toLowerCase() === name.toLowerCase()) ?? closest(name, names);
}

/** The one that begins alike for longest, and of several the shortest. */
function closest(name: string, names: readonly string[]): string | undefined {
  const [nearest] = names
    .filter((candidate) => candidate.startsWith(name.slice(0, 4)) || name.startsWith(candidate.slice(0, 4)))
    .sort((a, b) => alikeLength(name, b) - alikeLength(name, a) || a.length - b.length);
  return nearest;
}

function alikeLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
}
