import { showKeySettings } from '../../keys/show-key.ts';
import { keyStatus } from '../../keys/virtual-key.ts';
import { differences } from '../twin/differences.ts';
import { type TwinOptions, wantedTwin } from '../twin/wanted-twin.ts';
import type { ReconcileContext } from './context.ts';
import { expectedTwins, readMark } from './expected-twins.ts';
import type { ProgressMeter } from './progress.ts';
import type { ListedKey, OurKey } from './walk.ts';
import { walkOurs, walkTheirs } from './walk.ts';

/** What both lists, as they were read, leave to be looked at one by one. */
export interface Survey {
  /** Keys of ours that were listed. */
  readonly checked: number;
  /** Keys whose twins are not there, or not what they should be. */
  readonly suspects: readonly string[];
  /** Whether LiteLLM has twins of keys that are here: where it has none, this may be the wrong store. */
  readonly hasTwins: boolean;
  /** Twins of this deployment that no key names. */
  readonly strays: readonly ListedKey[];
  /** The token of a secret that LiteLLM has and no row of a twin names, by what a record may store of it. */
  readonly unclaimed: ReadonlyMap<string, string>;
}

/** Compares two whole lists: a call for each hundred keys, and none for a single one. */
export async function survey(context: ReconcileContext, progress: ProgressMeter): Promise<Survey> {
  const listed = await listTheirs(context, progress);
  const options = await context.twinOptions();
  const suspects: string[] = [];
  const claimed = new Set<string>();
  let checked = 0;
  for await (const { items, total } of walkOurs(context.store, context.rows)) {
    progress.expect('ours', total);
    for (const ours of items) {
      for (const { token } of ours.twin?.entries ?? []) claimed.add(token);
      if (isSuspect(ours, listed, options, context.now())) suspects.push(ours.record.id);
    }
    checked += items.length;
    progress.advance('ours', items.length);
  }
  progress.finish('ours');
  const free = [...listed.values()].filter((theirs) => !claimed.has(theirs.token) && !isElsewhere(theirs, context));
  return {
    checked,
    suspects,
    hasTwins: [...claimed].some((token) => listed.has(token)),
    strays: free.filter((theirs) => readMark(theirs) !== undefined),
    unclaimed: new Map(free.flatMap(({ token }) => context.hashesOfDigest(token).map((hash) => [hash, token]))),
  };
}

async function listTheirs({ client }: ReconcileContext, progress: ProgressMeter) {
  const listed = new Map<string, ListedKey>();
  for await (const { items, total } of walkTheirs(client.keys)) {
    progress.expect('theirs', total);
    for (const theirs of items) listed.set(theirs.token, theirs);
    progress.advance('theirs', items.length);
  }
  progress.finish('theirs');
  return listed;
}

function isElsewhere(theirs: ListedKey, { deploymentId }: ReconcileContext): boolean {
  const owner = readMark(theirs);
  return owner !== undefined && owner.deploymentId !== deploymentId;
}

function isSuspect(
  { record, twin }: OurKey,
  listed: ReadonlyMap<string, ListedKey>,
  options: TwinOptions,
  nowMs: number,
): boolean {
  const expected = expectedTwins(record, twin, nowMs);
  if (record.revokedAtMs === null && !expected.some(({ isCurrent }) => isCurrent)) return true;
  const key = showKeySettings(record);
  const status = keyStatus(record, nowMs);
  return expected.some(({ entry, isCurrent, endsAtMs }) => {
    const theirs = listed.get(entry.token);
    if (theirs === undefined) return isCurrent;
    return differences(wantedTwin({ key, status, endsAtMs }, options), entry.alias, theirs).length > 0;
  });
}
