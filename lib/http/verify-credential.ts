import { StoreUnavailableError } from '../errors.ts';
import { addressOwner, isInNetworks } from '../keys/address.ts';
import type { Internals } from '../keys/internals.ts';
import type { Principal } from '../keys/principals.ts';
import type { Rejection, Verification } from '../keys/verification.ts';
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
  service: Internals,
  secret: string,
  { fresh, address }: VerifyCredentialOptions,
): Promise<{ readonly credential: Credential } | { readonly refusal: Refusal }> {
  try {
    const verification = await verifyOrRemember(service, secret, fresh);
    if (verification.valid) {
      const { principal, notAfterMs, secretHashes } = verification;
      const refusal = addressRefusal(principal, address);
      if (refusal !== undefined) return { refusal };
      return { credential: { principal, notAfterMs, secretHashes, address } };
    }
    const retryAfterMs =
      verification.reason === 'unknown' && address !== undefined ? service.guessing.count(addressOwner(address)) : 0;
    if (retryAfterMs > 0) return { refusal: { kind: 'too_many_bad_keys', retryAfterMs } };
    return { refusal: rejectionRefusal(verification.reason) };
  } catch (error) {
    if (error instanceof StoreUnavailableError) return { refusal: { kind: 'store_down' } };
    throw error;
  }
}

async function verifyOrRemember({ verify, outages }: Internals, secret: string, fresh: boolean): Promise<Verification> {
  try {
    return await verify(secret, fresh);
  } catch (error) {
    const remembered = fresh || !(error instanceof StoreUnavailableError) ? undefined : outages.verify(secret);
    if (remembered === undefined) throw error;
    return remembered;
  }
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
