import { parseJson } from './formats/json.ts';

/** The elements of a JSON array of objects that were complete before its text broke off. */
export function completeElements(text: string): unknown[] {
  const elements: unknown[] = [];
  if (!text.trimStart().startsWith('[')) return elements;
  let depth = 0;
  let start = 0;
  for (const { index, 0: token } of text.matchAll(structure)) {
    if (token === '{') {
      if (depth === 0) start = index;
      depth += 1;
    } else if (token === '}') {
      depth -= 1;
      if (depth === 0) elements.push(parseJson(text.slice(start, index + 1)));
    }
  }
  return elements;
}

/** Braces, and whole strings so that braces within them don't count. An unfinished string takes the rest. */
const structure = /[{}]|"(?:[^"\\]|\\[\s\S])*(?:"|$)/g;
