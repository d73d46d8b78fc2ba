import { FencePendingError, isLlmKeysError } from '../errors.ts';
import type { VirtualKey } from './shown-key.ts';

/** A key as it is now, with the secret that opens it from now on. */
export interface RotatedKey {
  readonly key: VirtualKey;
  readonly secret: string;
}

/**
 * 503: the key is rotated, as with every {@link FencePendingError}, and nobody else will ever be shown its new secret. It
 * is kept where no log, no JSON and no copy of the error shows it.
 */
export class RotationPendingError extends FencePendingError {
  readonly #rotated: RotatedKey;

  constructor(rotated: RotatedKey, cause: FencePendingError) {
    super({ cause: cause.cause });
    this.#rotated = rotated;
  }

  /** What {@link VirtualKeys.rotate} would have answered. */
  rotated(): RotatedKey {
    return this.#rotated;
  }
}

/** What a rotation has made whose error this is, of whichever copy of the package. */
export function rotatedDespite(error: unknown): RotatedKey | undefined {
  return isLlmKeysError(error) && 'rotated' in error ? (error as RotationPendingError).rotated() : undefined;
}

/** A change that the store has made. */
export interface Made<R> {
  readonly record: R;
  /** The ledger has yet to hear of it. */
  readonly pending: FencePendingError | null;
}

/** @param record what the change makes of the record, for where the store does not answer with it */
export async function made<R>(change: Promise<R>, record: R): Promise<Made<R>> {
  try {
    return { record: await change, pending: null };
  } catch (error) {
    if (error instanceof FencePendingError) return { record, pending: error };
    throw error;
  }
}
