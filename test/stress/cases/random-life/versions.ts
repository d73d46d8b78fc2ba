import type { LifeReport } from '../../../support/fleet/acts/life-log.ts';
import { byKey } from './by-key.ts';

/** Versions that were made twice, or by nobody; and versions of keys that are not one for each change. */
export function lostVersions(
  reports: readonly LifeReport[],
  keys: readonly { readonly id: string; readonly version: number }[],
): readonly string[] {
  const changes = byKey(reports.flatMap((report) => report.changes));
  // Nobody was told which versions these made.
  const pending = byKey(reports.flatMap((report) => report.pending.map((keyId) => ({ keyId }))));
  return keys.flatMap(({ id, version }) => {
    const versions = (changes.get(id) ?? []).map((change) => change.version);
    const untold = pending.get(id)?.length ?? 0;
    const problems: string[] = [];
    if (new Set(versions).size !== versions.length) problems.push(`${id}: two changes made the same version`);
    if (version !== versions.length + untold + 1) {
      problems.push(`${id}: version ${version} after ${versions.length + untold} changes`);
    }
    return problems;
  });
}
