import { LiteLLMError } from '../../errors.ts';
import { isKeyRecord } from '../../keys/record-check.ts';
import { showKeySettings } from '../../keys/show-key.ts';
import { keyStatus, type VirtualKeyRecord } from '../../keys/virtual-key.ts';
import type { LiteLLMKeys } from '../client/keys.ts';
import { type OwnPeriod, ownPeriod } from '../twin/budget-duration.ts';
import { type TwinOptions, twinBudget, wantedTwin } from '../twin/wanted-twin.ts';
import type { SecretVault } from '../vault.ts';
import type { MirrorStore } from './mirror-store.ts';
import { type NamedSecret, namedSecret } from './named-secret.ts';
import { newTwin, type TwinEntry, type TwinRecord, type TwinRows, unsettledMs, withEntry } from './twin-rows.ts';
import type { TwinWriter, WrittenTwin } from './twin-writer.ts';

export interface SyncKeyOptions {
  readonly store: MirrorStore;
  /** The service's time. */
  readonly now: () => number;
  readonly rows: TwinRows;
  readonly writer: TwinWriter;
  readonly vault: SecretVault | undefined;
  readonly leaseMs: number;
  readonly twinOptions: () => Promise<TwinOptions>;
  readonly onChanged: (before: TwinRecord, after: TwinRecord) => void;
}

export interface SyncContext {
  /** Tries since the key was changed, this one included. */
  readonly attempts: number;
  /** Whether LiteLLM may still carry out what others have sent for this key, or what was sent here until now. */
  readonly isUnsettled: () => boolean;
}

/** What looking at a key came to. */
export type Looked =
  /** Both sides are equal, or nothing can be done; `againInMs`: until then. */
  | { readonly outcome: 'done'; readonly againInMs: number | null }
  /** LiteLLM did not take it; `isDown`: nor would it take anything else now. */
  | { readonly outcome: 'failed'; readonly isDown: boolean }
  /** What is known of the twin was changed meanwhile. */
  | { readonly outcome: 'overtaken' };

/**
 * Makes the twins of one key what its record says now, whatever was sent before. `keys` refuses to send once somebody else
 * may have taken over.
 */
export type SyncKey = (keyId: string, keys: LiteLLMKeys, context: SyncContext) => Promise<Looked>;

/** What the record says of a secret. */
type Role =
  | ({ readonly role: 'wanted' } & NamedSecret)
  | { readonly role: 'prepared'; readonly forMs: number }
  | { readonly role: 'unwanted' };

interface Judged {
  readonly entry: TwinEntry;
  readonly told: Role;
}

/** A key as it is looked at once. */
interface Look {
  readonly keys: LiteLLMKeys;
  readonly record: VirtualKeyRecord | undefined;
  readonly mustResetSpend: boolean;
  /** Whether LiteLLM may still make this twin of what it was asked for before. */
  readonly mayReturn: (entry: TwinEntry) => boolean;
  readonly entries: TwinEntry[];
  /** Secrets whose twins are removed. */
  readonly parted: TwinEntry[];
  readonly warnings: string[];
  /** After how long there is more to do. */
  readonly againInMs: number[];
  /** USD, the most that LiteLLM has counted on one of the key's secrets: the next one goes on from there. */
  spend: number;
  isMissing: boolean;
}

/** Secrets whose spend nobody pulls are not kept for ever. */
const partedAtMost = 20;
const goneText = 'LiteLLM has no twin of this key, and its secret is not at hand: rotate the key to make one';

const lockedText = 'The secret waits in a vault that this process has not got';

export function createSyncKey(options: SyncKeyOptions): SyncKey {
  const { store, now, rows, writer, vault, leaseMs, twinOptions, onChanged } = options;

  /** A record that cannot be read denies, there as here, until it is mended. */
  async function findRecord({ keyId, entries }: TwinRecord, keys: LiteLLMKeys): Promise<VirtualKeyRecord | undefined> {
    const record: unknown = await store.findKey(keyId);
    if (record === undefined || isKeyRecord(record)) return record;
    for (const { token } of entries) await writer.block(keys, token);
    throw new LiteLLMError('litellm_refused', 'The record of the key cannot be read');
  }

  async function writeTwin(
    { keys, spend, mustResetSpend }: Look,
    record: VirtualKeyRecord,
    { token, alias, sealed }: TwinEntry,
    endsAtMs: number | null,
  ): Promise<WrittenTwin | undefined> {
    const source = { key: showKeySettings(record), status: keyStatus(record, now()), endsAtMs };
    const wanted = wantedTwin(source, await twinOptions());
    const written = await writer.update(keys, token, wanted, alias);
    if (written !== undefined) {
      if (mustResetSpend && written.spend > 0) await writer.resetSpend(keys, token);
      return written;
    }
    if (sealed === null) return undefined;
    if (vault === undefined) throw new LiteLLMError('litellm_unavailable', lockedText);
    const secret = await vault.open(sealed);
    return writer.generate(keys, secret, wanted, alias, mustResetSpend ? 0 : spend);
  }

  async function lookAt(look: Look, { entry, told }: Judged): Promise<void> {
    const { record, entries, againInMs } = look;
    if (told.role === 'prepared') {
      entries.push(entry);
      againInMs.push(told.forMs);
    } else if (told.role === 'unwanted' || record === undefined) {
      look.spend = Math.max(look.spend, (await writer.remove(look.keys, entry.token)) ?? 0);
      if (look.mayReturn(entry)) entries.push({ ...entry, sealed: null, preparedUntilMs: null });
      else look.parted.push(entry);
    } else {
      const written = await writeTwin(look, record, entry, told.endsAtMs);
      if (written === undefined) {
        // The twin of a secret before the last rotation is not needed any more.
        if (told.isCurrent) entries.push(entry);
        look.isMissing ||= told.isCurrent;
        return;
      }
      entries.push({ ...entry, alias: written.alias, sealed: null, preparedUntilMs: null });
      look.warnings.push(...written.warnings);
      look.spend = Math.max(look.spend, written.spend);
      if (told.endsAtMs !== null) againInMs.push(Math.max(0, told.endsAtMs - now()));
    }
  }

  async function lookAtAll(look: Look, twin: TwinRecord, storeNowMs: number): Promise<void> {
    const { record, entries } = look;
    const times = { nowMs: now(), storeNowMs };
    const judged = twin.entries.map((entry) => ({ entry, told: roleOf(entry, record, times) }));
    for (const each of withAliases(judged, record)) await lookAt(look, each);
    const isOpen = record !== undefined && record.revokedAtMs === null;
    look.isMissing ||= isOpen && !entries.some((entry) => isCurrent(entry, record));
  }

  async function save(before: TwinRecord, after: TwinRecord): Promise<boolean> {
    const { unsettledUntilMs } = after;
    const isStored = await rows.put(after);
    if (isStored) onChanged(before, after);
    // Whoever was quicker does not know what was sent here: what was forgotten meanwhile has to be looked at again.
    else await rows.change(before.keyId, (current) => withForgotten(current, { ...before, unsettledUntilMs }));
    return isStored;
  }

  return async (keyId, keys, { attempts, isUnsettled }) => {
    // First the twin, then the record: a secret that is not being prepared any more is named by a record read later.
    const twin = (await rows.find(keyId)) ?? newTwin(keyId);
    const storeNowMs = await store.now();
    const knownUntilMs = laterThan(twin.unsettledUntilMs, storeNowMs);
    const unsettledUntil = () => (isUnsettled() ? storeNowMs + unsettledMs(leaseMs) : knownUntilMs);
    const isTakenOver = isUnsettled();
    try {
      const record = await findRecord(twin, keys);
      const period = record === undefined ? undefined : periodOf(record, now());
      const mustResetSpend = twin.mustResetSpend || isNewPeriod(period, twin);
      const look: Look = {
        ...{ keys, record, mustResetSpend, entries: [], parted: [], warnings: [], againInMs: [] },
        ...{ spend: 0, isMissing: false },
        // Whoever had the key before can have asked for no other twins than those of secrets in the vault.
        mayReturn: ({ sealed }) => knownUntilMs !== null || (isTakenOver && sealed !== null),
      };
      if (period !== undefined) look.againInMs.push(Math.max(0, period.endMs - now()));
      const countsSinceMs = mustResetSpend ? now() : (twin.spendSinceMs ?? now());
      await lookAtAll(look, twin, storeNowMs);
      const unsettledUntilMs = unsettledUntil();
      if (unsettledUntilMs !== null) look.againInMs.push(unsettledUntilMs - storeNowMs);
      const { entries, parted, warnings, againInMs, isMissing } = look;
      if (record === undefined && entries.length === 0) {
        if (await rows.remove(twin)) return { outcome: 'done', againInMs: null };
        await rows.change(keyId, (current) => withForgotten(current, twin));
        return { outcome: 'overtaken' };
      }
      const result = isMissing
        ? ({ state: 'orphaned', error: goneText, syncedAtMs: twin.syncedAtMs } as const)
        : ({ state: 'synced', error: null, syncedAtMs: now() } as const);
      const isStored = await save(twin, {
        ...twin,
        ...result,
        entries,
        parted: withParted(twin, parted, now()),
        warnings: [...new Set(warnings)],
        attempts: 0,
        mustResetSpend: false,
        spendSinceMs: period === undefined ? null : countsSinceMs,
        unsettledUntilMs,
      });
      if (!isStored) return { outcome: 'overtaken' };
      return { outcome: 'done', againInMs: againInMs.length === 0 ? null : Math.min(...againInMs) };
    } catch (error) {
      if (!(error instanceof LiteLLMError)) throw error;
      const state = error.code === 'litellm_unavailable' ? 'pending' : 'error';
      const failed = { state, error: error.message, attempts, unsettledUntilMs: unsettledUntil() } as const;
      const isStored = await save(twin, { ...twin, ...failed });
      return isStored ? { outcome: 'failed', isDown: state === 'pending' } : { outcome: 'overtaken' };
    }
  };
}

function roleOf(
  entry: TwinEntry,
  record: VirtualKeyRecord | undefined,
  { nowMs, storeNowMs }: { readonly nowMs: number; readonly storeNowMs: number },
): Role {
  if (record !== undefined) {
    // It takes no other secret either.
    if (record.revokedAtMs !== null) return { role: 'unwanted' };
    const named = namedSecret(record, entry, nowMs);
    if (named !== undefined) return { role: 'wanted', ...named };
  }
  if (entry.preparedUntilMs !== null && entry.preparedUntilMs > storeNowMs) {
    return { role: 'prepared', forMs: entry.preparedUntilMs - storeNowMs };
  }
  return { role: 'unwanted' };
}

function isCurrent({ secretHash }: TwinEntry, record: VirtualKeyRecord | undefined): boolean {
  return record?.secretHash === secretHash;
}

/**
 * The current secret's twin is called as its key, unless another one is that stays, or it had to be called otherwise. It
 * comes last: the one before it has to give the alias up first.
 */
function withAliases(judged: readonly Judged[], record: VirtualKeyRecord | undefined): readonly Judged[] {
  if (record === undefined) return judged;
  const { alias } = record;
  return judged
    .map(({ entry, told }) => {
      const isHeld = judged.some(
        (other) => other.entry !== entry && other.entry.alias === alias && other.told.role !== 'unwanted',
      );
      const isNamed = !isCurrent(entry, record) || entry.aliasOf === alias || isHeld;
      return { told, entry: isNamed ? entry : { ...entry, alias, aliasOf: alias } };
    })
    .sort((a, b) => Number(isCurrent(a.entry, record)) - Number(isCurrent(b.entry, record)));
}

/** What is known of a twin now, and what was known before: its secrets, and what LiteLLM may still carry out. */
function withForgotten(found: TwinRecord, before: TwinRecord): TwinRecord {
  const unsettledUntilMs = Math.max(found.unsettledUntilMs ?? 0, before.unsettledUntilMs ?? 0) || null;
  const current = { ...found, unsettledUntilMs };
  return before.entries
    .filter(({ token }) => !current.entries.some((entry) => entry.token === token))
    .reduce((twin, entry) => withEntry(twin, { ...entry, sealed: null, preparedUntilMs: null }), current);
}

function withParted({ parted }: TwinRecord, entries: readonly TwinEntry[], nowMs: number): TwinRecord['parted'] {
  const now = entries.map(({ token, pulled }) => ({ token, pulled, partedAtMs: nowMs }));
  return [...parted.filter(({ token }) => !now.some((other) => other.token === token)), ...now].slice(-partedAtMost);
}

function periodOf(record: VirtualKeyRecord, nowMs: number): OwnPeriod | undefined {
  return ownPeriod(twinBudget(showKeySettings(record))?.budgetDuration ?? null, record.createdAtMs, nowMs);
}

function isNewPeriod(period: OwnPeriod | undefined, { spendSinceMs }: TwinRecord): boolean {
  return period !== undefined && spendSinceMs !== null && period.startMs > spendSinceMs;
}

function laterThan(ms: number | null, nowMs: number): number | null {
  return ms !== null && ms > nowMs ? ms : null;
}
