import { isLlmKeysError } from '../../errors.ts';
import type { CheckImport, ImportKey } from '../../keys/key-import.ts';
import type { SecretFormat } from '../../keys/secret.ts';
import { refuseUnknownOptions } from '../../options.ts';
import type { Store } from '../../stores/store.ts';
import type { LiteLLMClient } from '../client/client.ts';
import type { LiteLLMKey } from '../client/replies.ts';
import { type TwinRows, withEntry } from '../mirror/twin-rows.ts';
import { mapEach } from '../reconcile/each.ts';
import { readMark } from '../reconcile/expected-twins.ts';
import { checkOnProgress, createProgress, type OnProgress } from '../reconcile/progress.ts';
import { type ListedKey, walkTheirs } from '../reconcile/walk.ts';
import type { RecordOpening } from '../spend/record-opening.ts';
import type { TwinOptions } from '../twin/wanted-twin.ts';
import { readSettings } from './their-settings.ts';

export interface ImportOptions {
  /** Only tells what would be taken. @defaultValue false */
  readonly dryRun?: boolean | undefined;
  /** Whether a key is to be taken. @defaultValue all are */
  readonly filter?: ((key: LiteLLMKey) => boolean) | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** A key that was not taken, and why, in words that go on from "the key". */
export interface SkippedKey {
  readonly alias: string;
  readonly reason: string;
}

export interface ImportReport {
  /** Ids of the keys that are ours now. */
  readonly imported: readonly string[];
  /** Aliases of the keys that would be ours, had this been no dry run. */
  readonly importable: readonly string[];
  readonly skipped: readonly SkippedKey[];
}

export type ImportKeys = (options?: ImportOptions) => Promise<ImportReport>;

/** What importing uses of a mirror. */
export interface ImportContext {
  readonly client: LiteLLMClient;
  readonly store: Pick<Store, 'findKeyByHash' | 'enqueueOutbox'>;
  readonly rows: TwinRows;
  readonly now: () => number;
  readonly deploymentId: string;
  readonly hashesOfDigest: SecretFormat['hashesOfDigest'];
  readonly importKey: ImportKey;
  readonly checkImport: CheckImport;
  readonly twinOptions: () => Promise<TwinOptions>;
  readonly learn: () => Promise<void>;
  readonly recordOpening: RecordOpening;
  /** The worker has something to do. */
  readonly wake: () => void;
}

type Taken = { readonly id: string } | { readonly importable: string } | SkippedKey;

const actor = { id: 'litellm-import' };
/** LiteLLM's own pages sign their users in with keys of this team. */
const teamOfPages = 'litellm-dashboard';

/**
 * Makes keys of LiteLLM that are nobody's keys of ours, without their secrets: LiteLLM tells their SHA-256, which is what
 * is stored here. They are good here at once, and there as before; from then on what is changed here is changed there.
 * Taken are name, models, limits, budget, owner, team, end and whether the key is blocked, and what was spent, as one
 * event of usage. Not taken are metadata, which may hold credentials, guardrails, and the limits of users and teams.
 * Leave the key out with which you call LiteLLM yourself: what goes through you would be counted on it as well.
 */
export function createImportKeys(context: ImportContext): ImportKeys {
  return async (options = {}) => {
    const { filter, onProgress, dryRun = false } = checkOptions(options);
    const progress = createProgress(onProgress);
    await context.learn();
    const listed = new Map<string, ListedKey>();
    for await (const { items, total } of walkTheirs(context.client.keys)) {
      progress.expect('listed', total);
      for (const theirs of items) if (filter === undefined || filter(theirs)) listed.set(theirs.token, theirs);
      progress.advance('listed', items.length);
    }
    progress.finish('listed');
    progress.expect('taken', listed.size);
    const taken = await mapEach([...listed.values()], async (theirs) => {
      const outcome = await take(context, theirs, dryRun);
      progress.advance('taken', 1);
      return outcome;
    });
    context.wake();
    return {
      imported: taken.flatMap((outcome) => ('id' in outcome ? [outcome.id] : [])),
      importable: taken.flatMap((outcome) => ('importable' in outcome ? [outcome.importable] : [])),
      skipped: taken.filter((outcome) => 'reason' in outcome),
    };
  };
}

async function take(context: ImportContext, listed: ListedKey, dryRun: boolean): Promise<Taken> {
  const alias = listed.key_alias ?? listed.key_name ?? '(without alias)';
  const mine = await context.store.findKeyByHash(context.hashesOfDigest(listed.token));
  if (mine !== undefined) {
    if (!dryRun) await adopt(context, mine, listed);
    return { alias, reason: 'is one of ours' };
  }
  const owner = readMark(listed);
  if (owner !== undefined) {
    const isOurs = owner.deploymentId === context.deploymentId;
    return { alias, reason: isOurs ? 'was one of ours' : `belongs to the deployment ${owner.deploymentId}` };
  }
  // Lists are raced: what is taken is what LiteLLM says of this key now.
  const theirs = await context.client.keys.find(listed.token);
  if (theirs === undefined) return { alias, reason: 'was removed' };
  const reason = await refusal(context, theirs);
  return reason === undefined ? insert(context, { ...theirs, token: listed.token }, alias, dryRun) : { alias, reason };
}

/** Why a key cannot be taken as it is. */
async function refusal({ now, twinOptions }: ImportContext, theirs: LiteLLMKey): Promise<string | undefined> {
  if (theirs.team_id === teamOfPages) return "is a session of LiteLLM's own pages";
  if (theirs.expires !== null && Date.parse(theirs.expires) <= now()) return 'has expired';
  const { served, groups } = await twinOptions();
  const group = theirs.models.find((name) => groups.includes(name) && !served.includes(name));
  return group === undefined ? undefined : `names a group of models: ${group}`;
}

async function insert(context: ImportContext, theirs: ListedKey, alias: string, dryRun: boolean): Promise<Taken> {
  const read = readSettings(theirs);
  if ('reason' in read) return { alias, reason: read.reason };
  try {
    const { key_alias, key_name, token, blocked } = theirs;
    const input = { ...read.settings, name: key_alias || key_name || 'LiteLLM' };
    const prefix = (key_name ?? '').replace('...', '…');
    const imported = { input, digest: token, prefix, isDisabled: blocked };
    if (dryRun) {
      return (await context.checkImport(imported)) ? { importable: alias } : { alias, reason: 'is one of ours' };
    }
    const key = await context.importKey(imported, actor);
    if (key === undefined) return { alias, reason: 'is one of ours' };
    await adopt(context, { ...key, secretHash: token }, theirs);
    return { id: key.id };
  } catch (error) {
    if (!isLlmKeysError(error) || error.status >= 500) throw error;
    return { alias, reason: `is nothing that a key here may be: ${error.message}` };
  }
}

/** The mirror knows of the twin from now on. What a broken import has left undone is done by the next one. */
async function adopt(
  { rows, store, now, recordOpening }: ImportContext,
  { id, alias, secretHash }: { readonly id: string; readonly alias: string; readonly secretHash: string },
  { token, key_alias, spend }: ListedKey,
): Promise<void> {
  const known = (await rows.find(id))?.entries.find((entry) => entry.token === token);
  if (known === undefined && secretHash === token) {
    const nowMs = now();
    const pulled = { openingUsd: spend > 0 ? spend : null, seenUsd: spend, seenSinceMs: nowMs, countedUntilMs: nowMs };
    const entry = { alias: key_alias || alias, aliasOf: alias, sealed: null, preparedUntilMs: null, pulled };
    await rows.change(id, (twin) => withEntry(twin, { secretHash, token, ...entry }));
    await store.enqueueOutbox([id], 0);
  }
  await recordOpening(id);
}

function checkOptions(options: ImportOptions): ImportOptions {
  refuseUnknownOptions('importKeys', options, ['dryRun', 'filter', 'onProgress']);
  if (options.dryRun !== undefined && typeof options.dryRun !== 'boolean') {
    throw new TypeError('importKeys: dryRun must be true or false');
  }
  if (options.filter !== undefined && typeof options.filter !== 'function') {
    throw new TypeError('importKeys: filter must be a function');
  }
  checkOnProgress('importKeys', options.onProgress);
  return options;
}
