import { isLlmKeysError } from '../../errors.ts';
import type { LiteLLMKeys } from '../client/keys.ts';
import { withEntry } from '../mirror/twin-rows.ts';
import type { ReconcileContext } from './context.ts';
import { mapEach } from './each.ts';
import { readMark } from './expected-twins.ts';
import type { Finding } from './judge.ts';
import type { ProgressMeter } from './progress.ts';
import { takeTheirs } from './take-theirs.ts';
import type { ListedKey } from './walk.ts';

export interface Mending {
  readonly policy: 'ours' | 'theirs';
  readonly progress: ProgressMeter;
}

/** Makes both sides equal, as far as they let it be; answers the ids of the keys that are. */
export async function mendAll(
  context: ReconcileContext,
  findings: readonly Finding[],
  { policy, progress }: Mending,
): Promise<readonly string[]> {
  progress.expect('mended', findings.length);
  const mended = await mapEach(findings, async (finding) => {
    const isEqual = isElsewhere(context, finding) ? false : await mend(context, finding, policy);
    progress.advance('mended', 1);
    return isEqual ? [finding.record.id] : [];
  });
  return mended.flat();
}

/** Removes twins that have no key; answers their tokens. One that is another deployment's by now stays. */
export async function removeStrays(
  { writer, client }: ReconcileContext,
  strays: readonly ListedKey[],
): Promise<readonly string[]> {
  const keys: LiteLLMKeys = client.keys;
  const removed = await mapEach(strays, async ({ token }) => {
    try {
      await writer.remove(keys, token);
      return [token];
    } catch (error) {
      if (!isLlmKeysError(error) || error.code !== 'litellm_refused') throw error;
      return [];
    }
  });
  return removed.flat();
}

/** A twin that says that it is another deployment's is left alone, though its secret is one of ours. */
function isElsewhere({ deploymentId }: ReconcileContext, { theirs }: Finding): boolean {
  const owner = theirs && readMark(theirs);
  return owner !== undefined && owner.deploymentId !== deploymentId;
}

async function mend(context: ReconcileContext, finding: Finding, policy: Mending['policy']): Promise<boolean> {
  const { id } = finding.record;
  await claim(context, finding);
  if (policy === 'theirs' && finding.theirs !== undefined && !(await takeTheirs(context, finding, finding.theirs))) {
    return false;
  }
  return (await context.lookNow(id))?.state === 'synced';
}

/** From now on the mirror knows of the twin. */
async function claim({ rows }: ReconcileContext, { record, theirs, unclaimed }: Finding): Promise<void> {
  if (unclaimed === null) return;
  await rows.change(record.id, (twin) =>
    withEntry(twin, {
      secretHash: record.secretHash,
      token: unclaimed,
      alias: theirs?.key_alias ?? record.alias,
      aliasOf: record.alias,
      sealed: null,
      preparedUntilMs: null,
      pulled: null,
    }),
  );
}
