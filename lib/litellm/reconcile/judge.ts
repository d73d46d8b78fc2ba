import { isKeyRecord } from '../../keys/record-check.ts';
import { showKeySettings } from '../../keys/show-key.ts';
import { keyStatus, type VirtualKeyRecord } from '../../keys/virtual-key.ts';
import type { OutboxRow } from '../../stores/store.ts';
import type { LiteLLMKey } from '../client/replies.ts';
import type { TwinRecord } from '../mirror/twin-rows.ts';
import { type Difference, differences } from '../twin/differences.ts';
import { type TwinOptions, wantedTwin } from '../twin/wanted-twin.ts';
import type { ReconcileContext } from './context.ts';
import { mapEach } from './each.ts';
import { expectedTwins, readMark } from './expected-twins.ts';
import type { ProgressMeter } from './progress.ts';
import type { Survey } from './survey.ts';
import type { ListedKey } from './walk.ts';

/** What is not equal of one key. */
export interface Finding {
  readonly record: VirtualKeyRecord;
  readonly twin: TwinRecord | undefined;
  /** LiteLLM has no twin of the secret that is good now. */
  readonly isMissing: boolean;
  readonly differences: readonly Difference[];
  /** The twin of the secret that is good now, as LiteLLM has it. */
  readonly theirs: LiteLLMKey | undefined;
  /** The token of a twin that is there, and of which the mirror does not know. */
  readonly unclaimed: string | null;
}

/** As many are read before the outbox is. */
const batchSize = 100;
const outboxAtMost = 100_000;
const maxTries = 5;

/**
 * What of the suspects really is not equal: each is read by itself, since lists of both sides are raced. Those that a
 * worker is yet to look at are left to it.
 */
export async function judgeSuspects(
  context: ReconcileContext,
  { suspects, unclaimed }: Survey,
  progress: ProgressMeter,
): Promise<readonly Finding[]> {
  const options = await context.twinOptions();
  const findings: Finding[] = [];
  progress.expect('suspects', suspects.length);
  for (let from = 0; from < suspects.length; from += batchSize) {
    const batch = suspects.slice(from, from + batchSize);
    const found = await mapEach(batch, (keyId) => judge(context, keyId, unclaimed, options));
    const waiting = await readWaiting(context);
    findings.push(
      ...found
        .filter((finding) => finding !== undefined)
        .filter(({ twin, record }) => !isPending(twin, waiting.get(record.id))),
    );
    progress.advance('suspects', batch.length);
  }
  return findings;
}

/** Twins of this deployment that have no key, and that nobody is about to give one, or to remove. */
export async function judgeStrays(
  context: ReconcileContext,
  strays: readonly ListedKey[],
): Promise<readonly ListedKey[]> {
  const found = await mapEach(strays, async ({ token }) => {
    const theirs = await context.client.keys.find(token);
    const owner = theirs && readMark(theirs);
    if (theirs === undefined || owner?.deploymentId !== context.deploymentId) return undefined;
    const twin = owner.keyId === null ? undefined : await context.rows.find(owner.keyId);
    const isKnown = twin?.entries.some((entry) => entry.token === token);
    return isKnown ? undefined : { theirs: { ...theirs, token }, owner, twin };
  });
  const waiting = await readWaiting(context);
  return found.flatMap((stray) => {
    const isWaiting = stray !== undefined && isPending(stray.twin, waiting.get(stray.owner.keyId ?? ''));
    return stray === undefined || isWaiting ? [] : [stray.theirs];
  });
}

async function judge(
  context: ReconcileContext,
  keyId: string,
  unclaimed: ReadonlyMap<string, string>,
  options: TwinOptions,
): Promise<Finding | undefined> {
  for (let tries = 1; ; tries += 1) {
    const finding = await judgeOnce(context, keyId, unclaimed, options);
    if (finding === undefined) return undefined;
    const { record } = finding;
    const now: unknown = await context.store.findKey(keyId);
    // What LiteLLM answered may be from after a change that the record was read before.
    if (isKeyRecord(now) && now.version === record.version) return finding;
    if (tries === maxTries) return undefined;
  }
}

async function judgeOnce(
  { client, store, rows, now }: ReconcileContext,
  keyId: string,
  unclaimed: ReadonlyMap<string, string>,
  options: TwinOptions,
): Promise<Finding | undefined> {
  const [record, twin]: [unknown, TwinRecord | undefined] = [await store.findKey(keyId), await rows.find(keyId)];
  if (!isKeyRecord(record) || record.revokedAtMs !== null) return undefined;
  const nowMs = now();
  const key = showKeySettings(record);
  const status = keyStatus(record, nowMs);
  const found: Difference[] = [];
  let theirs: LiteLLMKey | undefined;
  for (const { entry, isCurrent, endsAtMs } of expectedTwins(record, twin, nowMs)) {
    const read = await client.keys.find(entry.token);
    if (isCurrent) theirs = read;
    if (read !== undefined)
      found.push(...differences(wantedTwin({ key, status, endsAtMs }, options), entry.alias, read));
  }
  if (theirs !== undefined) {
    return found.length === 0
      ? undefined
      : { record, twin, isMissing: false, differences: found, theirs, unclaimed: null };
  }
  const token = unclaimed.get(record.secretHash);
  const free = token === undefined ? undefined : await client.keys.find(token);
  if (token === undefined || free === undefined) {
    return { record, twin, isMissing: true, differences: found, theirs, unclaimed: null };
  }
  const wanted = wantedTwin({ key, status, endsAtMs: null }, options);
  const differ = differences(wanted, free.key_alias ?? record.alias, free);
  return { record, twin, isMissing: false, differences: differ, theirs: free, unclaimed: token };
}

async function readWaiting({ store }: ReconcileContext): Promise<ReadonlyMap<string, OutboxRow>> {
  return new Map((await store.readOutbox(outboxAtMost)).map((row) => [row.keyId, row]));
}

/**
 * Whether a worker is yet to look at what was written. Other keys have a row too, for what is due later: the end of a
 * grace, or of a period.
 */
function isPending(twin: TwinRecord | undefined, row: OutboxRow | undefined): boolean {
  if (row === undefined || twin?.state === 'orphaned') return false;
  return twin?.state !== 'synced' || twin.syncedAtMs === null || twin.syncedAtMs <= row.atMs;
}
