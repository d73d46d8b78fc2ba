import { createHash } from 'node:crypto';

/** What LiteLLM knows a secret by: its SHA-256, in hex. */
export function tokenOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
