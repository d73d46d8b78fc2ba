import { StoreUnavailableError } from '../errors.ts';
import type { Internals } from '../keys/internals.ts';
import type { Rejection } from '../keys/verification.ts';
import { addressOwner } from './address.ts';
import type { Credential } from './llm-request.ts';
import type { Refusal } from './refusal.ts';

export interface VerifyCredentialOptions {
  /** Asks the store, not the cache. */
  readonly fresh: boolean;
  /** Where the request comes from; `undefined`: nobody knows. */
  readonly address: string | undefined;
}

/** Whose a secret is, or why it opens nothing. Secrets that belong to nobody are counted against their address. */
export async function verifyCredential(
  { verify, guessing }: Internals,
  secret: string,
  { fresh, address }: VerifyCredentialOptions,
): Promise<{ readonly credential: Credential } | { readonly refusal: Refusal }> {
  try {
    const verification = await verify(secret, fresh);
    if (verification.valid) {
      const { principal, notAfterMs, secretHashes } = verification;
      return { credential: { principal, notAfterMs, secretHashes } };
    }
    const retryAfterMs =
      verification.reason === 'unknown' && address !== undefined ? guessing.count(addressOwner(address)) : 0;
    if (retryAfterMs > 0) return { refusal: { kind: 'too_many_bad_keys', retryAfterMs } };
    return { refusal: rejectionRefusal(verification.reason) };
  } catch (error) {
    if (error instanceof StoreUnavailableError) return { refusal: { kind: 'store_down' } };
    throw error;
  }
}

/** What tells a secret's rejection to a client: nothing about keys that its sender has not got. */
export function rejectionRefusal(reason: Rejection): Refusal {
  return reason === 'unknown' || reason === 'malformed'
    ? { kind: 'invalid_key' }
    : { kind: 'closed_key', status: reason };
}
