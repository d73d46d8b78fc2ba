import type { KeyChange, LatestUse, LifeReport } from '../../../support/fleet/acts/life-log.ts';
import { byKey } from './by-key.ts';

/** A call that began after its secret, or its key, had ended; secrets are named by the version that they came with. */
export interface LateUse {
  readonly keyId: string;
  readonly version: number | null;
  readonly lateMs: number;
}

/** When each key and each secret was no longer good: as soon as the change that ended it was answered. */
export interface Ends {
  /** The uses that began after the end, and this much more. */
  lateUses(uses: readonly LatestUse[], allowedMs?: number): readonly LateUse[];
}

export function endsOf(reports: readonly LifeReport[]): Ends {
  const changes = byKey(reports.flatMap((report) => report.changes));

  function endOf({ keyId, version }: LatestUse): number {
    const ofKey = (changes.get(keyId) ?? []).toSorted((a, b) => a.version - b.version);
    const revokedAtMs = ofKey.find(({ kind }) => kind === 'revoke')?.answeredAtMs ?? Infinity;
    return version === null ? revokedAtMs : Math.min(revokedAtMs, replacedAt(ofKey, version));
  }

  return {
    lateUses: (uses, allowedMs = 0) =>
      uses.flatMap((use) => {
        const lateMs = use.beganAtMs - endOf(use) - allowedMs;
        return lateMs > 0 ? [{ keyId: use.keyId, version: use.version, lateMs }] : [];
      }),
  };
}

/** A secret ends with the rotation after it, or by the grace of that one, which the next rotation ends. */
function replacedAt(changes: readonly KeyChange[], version: number): number {
  const [next, afterNext] = changes.filter((change) => change.kind === 'rotate' && change.version > version);
  if (next === undefined) return Infinity;
  return Math.min(next.answeredAtMs + next.graceMs, afterNext?.answeredAtMs ?? Infinity);
}
