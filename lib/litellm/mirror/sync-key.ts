import { LiteLLMError } from '../../errors.ts';
import { isKeyRecord } from '../../keys/record-check.ts';
import { showKeySettings } from '../../keys/show-key.ts';
import { keyStatus, type VirtualKeyRecord } from '../../keys/virtual-key.ts';
import type { Store } from '../../stores/store.ts';
import type { LiteLLMKeys } from '../client/keys.ts';
import { type TwinOptions, wantedTwin } from '../twin/wanted-twin.ts';
import type { SecretVault } from '../vault.ts';
import { newTwin, type TwinEntry, type TwinRecord, type TwinRows } from './twin-rows.ts';
import type { TwinWriter } from './twin-writer.ts';

export interface SyncKeyOptions {
  readonly store: Store;
  readonly now: () => number;
  readonly rows: TwinRows;
  readonly writer: TwinWriter;
  readonly vault: SecretVault | undefined;
  readonly twinOptions: () => Promise<TwinOptions>;
  readonly onChanged: (before: TwinRecord, after: TwinRecord) => void;
}

/** What looking at a key came to. */
export type Looked =
  /** Both sides are equal, or nothing can be done; `againAtMs`: until this time of the service. */
  | { readonly outcome: 'done'; readonly againAtMs: number | null }
  /** LiteLLM did not take it. */
  | { readonly outcome: 'failed' }
  /** What is known of the twin was changed meanwhile. */
  | { readonly outcome: 'overtaken' };

/**
 * Makes the twins of one key what its record says now, whatever was sent before. `keys` refuses to send once somebody else
 * may have taken over.
 */
export type SyncKey = (keyId: string, keys: LiteLLMKeys, attempts: number) => Promise<Looked>;

/** What the record says of a secret. */
type Role =
  | { readonly role: 'wanted'; readonly isCurrent: boolean; readonly endsAtMs: number | null }
  | { readonly role: 'prepared'; readonly untilMs: number }
  | { readonly role: 'unwanted' };

interface Progress {
  readonly entries: TwinEntry[];
  readonly warnings: string[];
  /** Times at which there is more to do. */
  readonly againAtMs: number[];
  isMissing: boolean;
}

const goneText = 'LiteLLM has no twin of this key, and its secret is not at hand: rotate the key to make one';

export function createSyncKey(options: SyncKeyOptions): SyncKey {
  const { store, now, rows, writer, vault, twinOptions, onChanged } = options;

  async function findRecord(keyId: string): Promise<VirtualKeyRecord | undefined> {
    const record: unknown = await store.findKey(keyId);
    if (record === undefined || isKeyRecord(record)) return record;
    // A record that cannot be read denies; its twin is neither closed for good nor left to what it was.
    throw new LiteLLMError('litellm_refused', 'The record of the key cannot be read');
  }

  async function writeTwin(keys: LiteLLMKeys, record: VirtualKeyRecord, entry: TwinEntry, endsAtMs: number | null) {
    const source = { key: showKeySettings(record), status: keyStatus(record, now()), endsAtMs };
    const wanted = wantedTwin(source, await twinOptions());
    const written = await writer.update(keys, entry.token, wanted, entry.alias);
    if (written !== undefined || entry.sealed === null || vault === undefined) return written;
    return writer.generate(keys, await vault.open(entry.sealed), wanted, entry.alias);
  }

  async function lookAt(
    keys: LiteLLMKeys,
    entry: TwinEntry,
    record: VirtualKeyRecord | undefined,
    progress: Progress,
  ): Promise<void> {
    const told = roleOf(entry, record, now());
    if (told.role === 'prepared') {
      progress.entries.push(entry);
      progress.againAtMs.push(told.untilMs);
    } else if (told.role === 'unwanted' || record === undefined) {
      await writer.remove(keys, entry.token);
    } else {
      const written = await writeTwin(keys, record, entry, told.endsAtMs);
      if (written === undefined) {
        // The twin of a secret before the last rotation is not needed any more.
        if (told.isCurrent) progress.entries.push(entry);
        progress.isMissing ||= told.isCurrent;
        return;
      }
      const { alias, warnings } = written;
      progress.entries.push({ ...entry, alias, sealed: null, preparedUntilMs: null });
      progress.warnings.push(...warnings);
      if (told.endsAtMs !== null) progress.againAtMs.push(told.endsAtMs);
    }
  }

  async function look(keys: LiteLLMKeys, twin: TwinRecord, record: VirtualKeyRecord | undefined): Promise<Progress> {
    const progress: Progress = { entries: [], warnings: [], againAtMs: [], isMissing: false };
    // The successor gets the alias of the one before it, which has to give it up first.
    const entries = withAliases(twin.entries, record).toSorted(
      (a, b) => Number(isCurrent(a, record)) - Number(isCurrent(b, record)),
    );
    for (const entry of entries) await lookAt(keys, entry, record, progress);
    const isOpen = record !== undefined && record.revokedAtMs === null;
    progress.isMissing ||= isOpen && !progress.entries.some((entry) => isCurrent(entry, record));
    return progress;
  }

  async function save(before: TwinRecord, after: TwinRecord): Promise<boolean> {
    const isStored = await rows.put(after);
    if (isStored) onChanged(before, after);
    return isStored;
  }

  return async (keyId, keys, attempts) => {
    // First the twin, then the record: a secret that is not being prepared any more is named by a record read later.
    const twin = (await rows.find(keyId)) ?? newTwin(keyId);
    try {
      const record = await findRecord(keyId);
      const { entries, warnings, againAtMs, isMissing } = await look(keys, twin, record);
      if (record === undefined && entries.length === 0) {
        return (await rows.remove(twin)) ? { outcome: 'done', againAtMs: null } : { outcome: 'overtaken' };
      }
      const result = isMissing
        ? ({ state: 'orphaned', error: goneText, syncedAtMs: twin.syncedAtMs } as const)
        : ({ state: 'synced', error: null, syncedAtMs: now() } as const);
      const isStored = await save(twin, {
        ...twin,
        ...result,
        entries,
        warnings: [...new Set(warnings)],
        attempts: 0,
      });
      if (!isStored) return { outcome: 'overtaken' };
      return { outcome: 'done', againAtMs: againAtMs.length === 0 ? null : Math.min(...againAtMs) };
    } catch (error) {
      if (!(error instanceof LiteLLMError)) throw error;
      const state = error.code === 'litellm_unavailable' ? 'pending' : 'error';
      const isStored = await save(twin, { ...twin, state, error: error.message, attempts });
      return { outcome: isStored ? 'failed' : 'overtaken' };
    }
  };
}

function roleOf(entry: TwinEntry, record: VirtualKeyRecord | undefined, nowMs: number): Role {
  if (record !== undefined && record.revokedAtMs === null) {
    if (isCurrent(entry, record)) return { role: 'wanted', isCurrent: true, endsAtMs: null };
    const { previousSecret } = record;
    if (previousSecret?.secretHash === entry.secretHash && previousSecret.endsAtMs > nowMs) {
      return { role: 'wanted', isCurrent: false, endsAtMs: previousSecret.endsAtMs };
    }
  }
  if (entry.preparedUntilMs !== null && entry.preparedUntilMs > nowMs) {
    return { role: 'prepared', untilMs: entry.preparedUntilMs };
  }
  return { role: 'unwanted' };
}

function isCurrent({ secretHash }: TwinEntry, record: VirtualKeyRecord | undefined): boolean {
  return record?.secretHash === secretHash;
}

/** The current secret's twin is called as its key, unless another one is, or had to be called otherwise. */
function withAliases(entries: readonly TwinEntry[], record: VirtualKeyRecord | undefined): readonly TwinEntry[] {
  if (record === undefined) return entries;
  const { alias } = record;
  return entries.map((entry) => {
    const isHeld = entries.some((other) => other !== entry && other.alias === alias);
    if (!isCurrent(entry, record) || entry.aliasOf === alias || isHeld) return entry;
    return { ...entry, alias, aliasOf: alias };
  });
}
