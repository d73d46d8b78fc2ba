import { randomBytes } from 'node:crypto';

/** A prefix of Redis keys that no other test has. */
export function newPrefix(): string {
  return `test-${randomBytes(6).toString('hex')}`;
}

/** A name for a Postgres schema that no other test has. */
export function newSchema(): string {
  return `test_${randomBytes(6).toString('hex')}`;
}
