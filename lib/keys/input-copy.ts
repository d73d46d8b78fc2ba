import type { Problem } from '../errors.ts';

const maxDepth = 16;
const maxValues = 20_000;

/**
 * Copies an input once into objects without a prototype, so that what is checked is what is used: no getter runs twice,
 * and a field named `__proto__` is an ordinary field. Fields that are `undefined` are absent from the copy.
 */
export function copyInput(
  input: unknown,
): { readonly outcome: 'copied'; readonly copy: unknown } | { readonly outcome: 'refused'; readonly problem: Problem } {
  let values = 0;

  function copy(value: unknown, path: readonly string[]): unknown {
    if (typeof value !== 'object' || value === null) return value;
    if (path.length > maxDepth) throw new Uncopyable(path, `must not be nested deeper than ${maxDepth} levels`);
    if (value instanceof Date) return new Date(value);
    if (Array.isArray(value)) return Array.from(value, (item, at) => copyItem(item, path, String(at)));
    const copied: { [field: string]: unknown } = Object.create(null);
    for (const [field, item] of Object.entries(value)) {
      if (item !== undefined) copied[field] = copyItem(item, path, field);
    }
    return copied;
  }

  // Counted, because a small input whose parts share objects may be exponentially large as a tree.
  function copyItem(item: unknown, path: readonly string[], field: string): unknown {
    values += 1;
    if (values > maxValues) throw new Uncopyable(path, `must not hold more than ${maxValues} values`);
    return copy(item, [...path, field]);
  }

  try {
    return { outcome: 'copied', copy: copy(input, []) };
  } catch (error) {
    const problem =
      error instanceof Uncopyable
        ? { field: error.path[0] ?? 'input', message: error.message }
        : { field: 'input', message: 'cannot be read' };
    return { outcome: 'refused', problem };
  }
}

class Uncopyable extends Error {
  readonly path: readonly string[];

  constructor(path: readonly string[], message: string) {
    super(message);
    this.path = path;
  }
}
