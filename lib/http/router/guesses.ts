import { TooManyFailedAttemptsError } from '../../errors.ts';
import { addressOwner } from '../../keys/address.ts';
import type { Internals } from '../../keys/internals.ts';
import type { Rejection } from '../../keys/verification.ts';

/**
 * Counts a secret that belongs to nobody against the address it came from, as the LLM routes do.
 *
 * @throws TooManyFailedAttemptsError when there were too many
 */
export function refuseGuessing({ guessing }: Internals, reason: Rejection, address: string | undefined): void {
  if (reason !== 'unknown' || address === undefined) return;
  const retryAfterMs = guessing.count(addressOwner(address));
  if (retryAfterMs > 0) throw new TooManyFailedAttemptsError(retryAfterMs);
}
