import { isLlmKeysError } from '../../errors.ts';
import type { KeyPatch } from '../../keys/key-input.ts';
import { applyKeyPatch } from '../../keys/key-schema.ts';
import { checkMaximums } from '../../keys/quotas.ts';
import { showKeySettings } from '../../keys/show-key.ts';
import { keyStatus } from '../../keys/virtual-key.ts';
import type { LiteLLMKey } from '../client/replies.ts';
import { readSettings } from '../import/their-settings.ts';
import { differences, type TwinField } from '../twin/differences.ts';
import { wantedTwin } from '../twin/wanted-twin.ts';
import type { ReconcileContext } from './context.ts';
import type { Finding } from './judge.ts';

const actor = { id: 'litellm-reconcile' };
/** Of these, the key has no field by the same name. */
const notPatched: ReadonlySet<TwinField> = new Set(['alias', 'blocked', 'metadata']);

/**
 * Makes a key what its twin is, by an ordinary change of it, under the version that was compared. Answers `false` and
 * changes nothing where its maximums refuse that, or where the key would still not be what the twin is.
 */
export async function takeTheirs(context: ReconcileContext, finding: Finding, theirs: LiteLLMKey): Promise<boolean> {
  const patch = patchOf(finding, theirs);
  if (patch === undefined || !(await wouldBeEqual(context, finding, theirs, patch))) return false;
  if (theirs.key_alias !== null && differs(finding, 'alias')) await keepAlias(context, finding, theirs.key_alias);
  return unlessRefused(() => change(context, finding, theirs, patch));
}

/** What is closed there is closed here first: the worker opens nothing in between. */
async function change(
  { keys }: ReconcileContext,
  finding: Finding,
  theirs: LiteLLMKey,
  patch: KeyPatch,
): Promise<boolean> {
  const { id, version } = finding.record;
  const isTurned = differs(finding, 'blocked');
  const closed = isTurned && theirs.blocked ? await keys.disable(id, actor) : undefined;
  if (Object.keys(patch).length > 0) await keys.update(id, patch, { ifVersion: closed?.version ?? version }, actor);
  if (isTurned && !theirs.blocked) await keys.enable(id, actor);
  return true;
}

async function unlessRefused(act: () => Promise<boolean>): Promise<boolean> {
  try {
    return await act();
  } catch (error) {
    if (isLlmKeysError(error) && error.status < 500) return false;
    throw error;
  }
}

function differs({ differences: found }: Finding, name: TwinField): boolean {
  return found.some(({ field }) => field === name);
}

/** What has to change of the key; `undefined`: LiteLLM's side of it is nothing that a key can be. */
function patchOf({ differences: found }: Finding, theirs: LiteLLMKey): KeyPatch | undefined {
  const fields = found.map(({ field }) => field).filter((field) => !notPatched.has(field));
  if (fields.length === 0) return {};
  const read = readSettings(theirs);
  if ('reason' in read) return undefined;
  const settings = read.settings as { readonly [field: string]: unknown };
  return Object.fromEntries(fields.map((field) => [field, settings[field]]));
}

/** What is left different after the change would be overwritten there with what is ours. */
async function wouldBeEqual(
  { twinOptions, maximums, now }: ReconcileContext,
  finding: Finding,
  theirs: LiteLLMKey,
  patch: KeyPatch,
): Promise<boolean> {
  const { record } = finding;
  const [options, most] = [await twinOptions(), await maximums()];
  return unlessRefused(async () => {
    const nowMs = now();
    const fields = applyKeyPatch(record, patch, nowMs);
    checkMaximums(fields, most, nowMs, record);
    const next = { ...record, ...fields, disabledAtMs: disabledAtMs(finding, theirs, nowMs) };
    const source = { key: showKeySettings(next), status: keyStatus(next, nowMs), endsAtMs: null };
    const left = differences(wantedTwin(source, options), theirs.key_alias ?? record.alias, theirs);
    return left.every(({ field }) => field === 'metadata');
  });
}

function disabledAtMs(finding: Finding, theirs: LiteLLMKey, nowMs: number): number | null {
  if (!differs(finding, 'blocked')) return finding.record.disabledAtMs;
  return theirs.blocked ? nowMs : null;
}

async function keepAlias({ rows }: ReconcileContext, { record, theirs }: Finding, alias: string): Promise<void> {
  await rows.change(record.id, (twin) => ({
    ...twin,
    entries: twin.entries.map((entry) => (entry.token === theirs?.token ? { ...entry, alias } : entry)),
  }));
}
