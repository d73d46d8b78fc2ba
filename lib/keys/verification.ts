import { whenAnswered } from '../stores/answered.ts';
import type { Answer } from '../stores/store.ts';
import type { Principal, Principals } from './principals.ts';
import type { SecretFormat } from './secret.ts';
import { keyStatus } from './virtual-key.ts';

/** Why a secret is not accepted. A secret whose grace is over is `unknown`. */
export type Rejection = 'malformed' | 'unknown' | 'revoked' | 'disabled' | 'expired';

export type Verification =
  | {
      readonly valid: true;
      readonly principal: Principal;
      /** From this moment on the secret is no longer good: the key expires, or the grace of the secret ends. */
      readonly notAfterMs: number | null;
      /** What the secret may be stored under; the key is found by them again. */
      readonly secretHashes: readonly string[];
    }
  | { readonly valid: false; readonly reason: Rejection };

export interface VerificationOptions {
  readonly secrets: SecretFormat;
  readonly principals: Principals;
  readonly now: () => number;
}

/** Tells whose a secret is. A checksum that is wrong is told without asking the cache or the store. */
export function createVerification({ secrets, principals, now }: VerificationOptions) {
  return function verify(secret: string, fresh = false): Answer<Verification> {
    if (secrets.read(secret) !== 'ours' && !secrets.mayBeImported(secret)) return { valid: false, reason: 'malformed' };
    const hashes = secrets.candidateHashes(secret);
    return whenAnswered(principals.findByHash(hashes, fresh), (principal) =>
      principal === undefined ? { valid: false, reason: 'unknown' } : judge(principal, hashes, now()),
    );
  };
}

/** As {@link createVerification}, for the time in which the store is down: `undefined` where nobody remembers the key. */
export function createRememberedVerification({ secrets, principals, now }: VerificationOptions) {
  return function verifyRemembered(secret: string, maxAgeMs: number): Verification | undefined {
    const hashes = secrets.candidateHashes(secret);
    const principal = principals.rememberedByHash(hashes, maxAgeMs);
    return principal && judge(principal, hashes, now());
  };
}

/** Whether one of these hashes opens the key at this moment. Revoked comes before disabled before expired. */
export function judge(principal: Principal, secretHashes: readonly string[], nowMs: number): Verification {
  const { secretHash, previousSecret, expiresAtMs } = principal.key;
  const isCurrent = secretHashes.includes(secretHash);
  const isPrevious = !isCurrent && previousSecret !== null && secretHashes.includes(previousSecret.secretHash);
  if (!isCurrent && !(isPrevious && nowMs < previousSecret.endsAtMs)) return { valid: false, reason: 'unknown' };
  const status = keyStatus(principal.key, nowMs);
  if (status !== 'active') return { valid: false, reason: status };
  const graceEndsAtMs = isPrevious ? previousSecret.endsAtMs : null;
  return { valid: true, principal, notAfterMs: earlier(expiresAtMs, graceEndsAtMs), secretHashes };
}

/** `null`: never. */
function earlier(aMs: number | null, bMs: number | null): number | null {
  if (aMs === null || bMs === null) return aMs ?? bMs;
  return Math.min(aMs, bMs);
}
