import { StoreUnavailableError } from '../errors.ts';
import { addressOwner, isInNetworks } from '../keys/address.ts';
import type { Internals } from '../keys/internals.ts';
import type { Principal } from '../keys/principals.ts';
import type { Rejection, Verification } from '../keys/verification.ts';
import type { Answer } from '../stores/store.ts';
import type { Credential } from './llm-request.ts';
import type { Refusal } from './refusal.ts';

export interface VerifyCredentialOptions {
  /** Asks the store, not the cache. */
  readonly fresh: boolean;
  /** Where the request comes from; `undefined`: nobody knows. */
  readonly address: string | undefined;
}

export type VerifiedCredential = { readonly credential: Credential } | { readonly refusal: Refusal };

/** Whose a secret is, or why it opens nothing. Secrets that belong to nobody are counted against their address. */
export function verifyCredential(
  service: Internals,
  secret: string,
  options: VerifyCredentialOptions,
): Answer<VerifiedCredential> {
  const verification = service.verify(secret, options.fresh);
  return verification instanceof Promise
    ? verifiedLater(service, secret, options, verification)
    : credentialOf(service, verification, options.address);
}

async function verifiedLater(
  service: Internals,
  secret: string,
  { fresh, address }: VerifyCredentialOptions,
  verification: Promise<Verification>,
): Promise<VerifiedCredential> {
  try {
    return credentialOf(service, await verification, address);
  } catch (error) {
    if (!(error instanceof StoreUnavailableError)) throw error;
    const remembered = fresh ? undefined : service.outages.verify(secret);
    return remembered === undefined ? { refusal: { kind: 'store_down' } } : credentialOf(service, remembered, address);
  }
}

function credentialOf(
  { guessing }: Internals,
  verification: Verification,
  address: string | undefined,
): VerifiedCredential {
  if (verification.valid) {
    const { principal, notAfterMs, secretHashes } = verification;
    const refusal = addressRefusal(principal, address);
    return refusal === undefined ? { credential: { principal, notAfterMs, secretHashes, address } } : { refusal };
  }
  const { reason } = verification;
  const retryAfterMs = reason === 'unknown' && address !== undefined ? guessing.count(addressOwner(address)) : 0;
  return { refusal: retryAfterMs > 0 ? { kind: 'too_many_bad_keys', retryAfterMs } : rejectionRefusal(reason) };
}

/** A key that is bound to addresses is of no use from another one, nor from one that nobody knows. */
export function addressRefusal({ key }: Principal, address: string | undefined): Refusal | undefined {
  if (key.allowedIps === null) return undefined;
  const isAllowed = address !== undefined && isInNetworks(address, key.allowedIps);
  return isAllowed ? undefined : { kind: 'address' };
}

/** What tells a secret's rejection to a client: nothing about keys that its sender has not got. */
export function rejectionRefusal(reason: Rejection): Refusal {
  return reason === 'unknown' || reason === 'malformed'
    ? { kind: 'invalid_key' }
    : { kind: 'closed_key', status: reason };
}
