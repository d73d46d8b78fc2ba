import { randomBytes } from 'node:crypto';

const maxNameLength = 50;
const nameless = 'api-key';

/**
 * A name for the key that other systems take as well: what is left of the display name in `A-Z a-z 0-9 _ -`, at most 50
 * characters, and 8 random hex digits. Whether it is unique only the store knows: ask again when it is taken.
 */
export function createAlias(name: string): string {
  const sanitized = trimDashes(name.replace(/[^A-Za-z0-9_-]+/g, '-'));
  const stem = trimDashes(sanitized.slice(0, maxNameLength));
  return `${stem === '' ? nameless : stem}_${randomBytes(4).toString('hex')}`;
}

function trimDashes(text: string): string {
  return text.replace(/^[-_]+|[-_]+$/g, '');
}
