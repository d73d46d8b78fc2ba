import { isObject } from '../../usage/formats/json.ts';

/** Messages have parts, which have content: deeper than this, nothing is read. */
const maxDepth = 5;

/**
 * The tokens of the echo model. It counts words: a token is a word with the white space before it, and white space at the
 * end of a text is one more. `'Hello, world'` has two.
 */
export function tokensOf(text: string): readonly string[] {
  return text === '' ? [] : text.split(/(?<=\S)(?=\s)/);
}

/** The tokens of all texts in messages, prompts, contents or parts, of whichever provider. Media count nothing. */
export function countTokens(content: unknown): number {
  return textsIn(content).reduce((tokens, text) => tokens + tokensOf(text).length, 0);
}

/** The texts in a message, a prompt or a list of them, one a line. */
export function textOf(content: unknown): string {
  return textsIn(content).join('\n');
}

function textsIn(content: unknown, depth = 0): readonly string[] {
  if (typeof content === 'string') return [content];
  if (depth === maxDepth) return [];
  if (Array.isArray(content)) return content.flatMap((part) => textsIn(part, depth + 1));
  return isObject(content) ? textsIn(content.text ?? content.content ?? content.parts, depth + 1) : [];
}
