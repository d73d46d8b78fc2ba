import { AliasTakenError, KeyNotFoundError, OwnerKeyLimitError, VersionConflictError } from '../errors.ts';
import type { UpdateOutcome } from '../stores/store.ts';

/** A change without an expected version is made to whatever version is current; somebody else may be quicker. */
export const maxConflicts = 10;

/** The record of a change that was made. @throws what kept it from being made */
export function updated<R>(outcome: UpdateOutcome<R>, maxActive: number | null): R {
  switch (outcome.outcome) {
    case 'updated':
      return outcome.record;
    case 'not_found':
      throw new KeyNotFoundError();
    case 'alias_taken':
      throw new AliasTakenError();
    case 'owner_limit':
      throw new OwnerKeyLimitError(maxActive ?? 0);
    case 'version_conflict':
      throw new VersionConflictError(outcome.version);
  }
}

/** Tries again what failed by a conflict with somebody else. */
export async function retrying<T>(
  conflict: typeof AliasTakenError | typeof VersionConflictError,
  tries: number,
  act: () => Promise<T>,
): Promise<T> {
  for (let left = tries; ; left -= 1) {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof conflict) || left <= 1) throw error;
    }
  }
}
