import type { VirtualKey } from '../../../../lib/index.ts';
import type { KeySecret, LifeReport } from '../../../support/fleet/acts/life-log.ts';
import { byKey } from './by-key.ts';

/** How many of the latest secrets of each key are tried. */
const latest = 3;

/** The secrets that are good when all is over, and the latest of those that are not. */
export function secretsAtTheEnd(reports: readonly LifeReport[], keys: readonly VirtualKey[]) {
  const secrets = byKey(reports.flatMap((report) => report.secrets));
  const mayHaveAnother = new Set(reports.flatMap(({ pending }) => pending));
  const good: string[] = [];
  const ended: string[] = [];
  for (const { id, status } of keys) {
    if (mayHaveAnother.has(id)) continue;
    const [last, ...before] = newestFirst(secrets.get(id) ?? []).slice(0, latest);
    if (last === undefined) continue;
    (status === 'active' ? good : ended).push(last);
    ended.push(...before);
  }
  return { good, ended };
}

/** Each worker has the one that its key began with. */
function newestFirst(secrets: readonly KeySecret[]): readonly string[] {
  return [...new Set(secrets.toSorted((a, b) => b.version - a.version).map(({ secret }) => secret))];
}
