import { parseJson } from './formats/json.ts';

/** The elements of a JSON array of objects that were complete before its text broke off. */
export function completeElements(text: string): unknown[] {
  const elements: unknown[] = [];
  if (!text.trimStart().startsWith('[')) return elements;
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '"') {
      at = stringEnd(text, at);
    } else if (character === '{') {
      if (depth === 0) start = at;
      depth += 1;
    } else if (character === '}') {
      depth -= 1;
      if (depth === 0) elements.push(parseJson(text.slice(start, at + 1)));
    }
  }
  return elements;
}

/** Where the quote is that closes a string, or the end of the text. */
function stringEnd(text: string, openingQuote: number): number {
  let at = openingQuote + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}
