import { createHash } from 'node:crypto';

/** What LiteLLM knows a secret by. */
export function tokenOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
