import type { VirtualKeyRecord } from '../../keys/virtual-key.ts';
import type { TwinEntry } from './twin-rows.ts';

/** How a record names the secret of an entry. */
export interface NamedSecret {
  /** `false`: it is the one before the last rotation, in its grace. */
  readonly isCurrent: boolean;
  /** When its grace ends. */
  readonly endsAtMs: number | null;
}

/** `undefined`: the secret opens the key no more, or not yet. */
export function namedSecret(
  { secretHash, previousSecret, revokedAtMs }: VirtualKeyRecord,
  entry: Pick<TwinEntry, 'secretHash'>,
  nowMs: number,
): NamedSecret | undefined {
  if (revokedAtMs !== null) return undefined;
  if (entry.secretHash === secretHash) return { isCurrent: true, endsAtMs: null };
  const isInGrace = previousSecret?.secretHash === entry.secretHash && previousSecret.endsAtMs > nowMs;
  return isInGrace ? { isCurrent: false, endsAtMs: previousSecret.endsAtMs } : undefined;
}
