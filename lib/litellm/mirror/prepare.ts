import { AliasTakenError, InvalidRequestError, LiteLLMError } from '../../errors.ts';
import type { KeyChange, KeyHook } from '../../keys/hooks.ts';
import type { SecretFormat } from '../../keys/secret.ts';
import { answeredWithin } from '../../stores/deadline.ts';
import type { LiteLLMClient } from '../client/client.ts';
import type { LiteLLMKeys } from '../client/keys.ts';
import { tokenOf } from '../client/token.ts';
import { maxParallelAtMost, type TwinOptions, wantedTwin } from '../twin/wanted-twin.ts';
import type { SecretVault } from '../vault.ts';
import { isAliasTaken, otherAlias } from './fresh-alias.ts';
import type { MirrorStore } from './mirror-store.ts';
import { type TwinEntry, type TwinRecord, type TwinRows, unsettledMs, withEntry } from './twin-rows.ts';
import type { TwinWriter, WrittenTwin } from './twin-writer.ts';

export interface PrepareOptions {
  readonly store: MirrorStore;
  /** The service's time. */
  readonly now: () => number;
  readonly hash: SecretFormat['hash'];
  readonly client: LiteLLMClient;
  readonly rows: TwinRows;
  readonly writer: TwinWriter;
  readonly twinOptions: () => Promise<TwinOptions>;
  /** Absent: what LiteLLM does not take is refused here. */
  readonly vault: SecretVault | undefined;
  /** How long a change may take until others clear up after it. */
  readonly leaseMs: number;
  /** Looks at a key soon. */
  readonly wake: () => void;
}

/**
 * Takes part in changes of keys. A new secret is known to LiteLLM before its record names it, or waits in the vault; what
 * is left of a change that was not made is cleared up by whoever looks at the key next.
 */
export function createPreparation(options: PrepareOptions): KeyHook {
  const { store, now, hash, client, rows, writer, twinOptions, vault, leaseMs, wake } = options;

  function entryOf({ key }: KeyChange, secret: string): TwinEntry {
    const token = tokenOf(secret);
    const { alias } = key;
    return {
      secretHash: hash(secret),
      token,
      alias,
      aliasOf: alias,
      sealed: null,
      preparedUntilMs: null,
      pulled: null,
    };
  }

  /** Where a secret can wait, its caller need not. */
  const patienceMs = vault === undefined ? leaseMs - client.timeoutMs : Math.min(client.timeoutMs, leaseMs / 2);

  /** The key's other twins are there for a while: one of them may have to be called otherwise. */
  async function makeTwin(keys: LiteLLMKeys, { key }: KeyChange, secret: string, entry: TwinEntry) {
    const source = { key, status: key.status, endsAtMs: null };
    const wanted = wantedTwin(source, await answeredWithin(twinOptions(), patienceMs, tooLate));
    const others = (await rows.find(key.id))?.entries.filter(({ token }) => token !== entry.token) ?? [];
    let spend = 0;
    for (const { token, alias } of others) {
      spend = Math.max(spend, (await writer.rename(keys, token, entry.alias, alias)) ?? 0);
    }
    return writer.generate(keys, secret, wanted, entry.alias, spend);
  }

  async function prepare(change: KeyChange, secret: string): Promise<void> {
    const { key, action } = change;
    const sendUntilMs = performance.now() + patienceMs;
    const storeNowMs = await store.now();
    const entry = {
      ...entryOf(change, secret),
      sealed: vault === undefined ? null : await vault.seal(secret),
      preparedUntilMs: storeNowMs + leaseMs,
    };
    // Whoever looks at the key finds the entry, also when nothing more is heard of this process.
    await store.enqueueOutbox([key.id], leaseMs);
    await rows.change(key.id, (twin) => withPrepared(twin, entry));
    let wasSent = false;
    let isUnsettled = false;
    const keys = client.keysUntil(sendUntilMs, {
      onMaking: () => {
        wasSent = true;
      },
      onUnanswered: () => {
        isUnsettled = true;
      },
    });
    const noting: Noting = (twin) =>
      isUnsettled ? { ...twin, unsettledUntilMs: storeNowMs + unsettledMs(leaseMs) } : twin;
    try {
      const written = await makeTwin(keys, change, secret, entry);
      let isKnown = false;
      await rows.change(key.id, (twin) => {
        isKnown = twin.entries.some(isOf(entry));
        return isKnown ? noting(withMade(twin, entry, written)) : twin;
      });
      if (!isKnown) throw new LiteLLMError('litellm_unavailable', 'LiteLLM took longer than the lease of the mirror');
    } catch (error) {
      const isDown = error instanceof LiteLLMError && error.code === 'litellm_unavailable';
      if (isDown && vault !== undefined) return remember(key.id, entry, noting);
      const giveUp = wasSent ? lookLater : isDown ? forget : clearUp;
      await giveUp(key.id, entry, noting).catch(() => undefined);
      // The service draws another alias, and both sides are called alike.
      throw action === 'create' && isAliasTaken(error) ? new AliasTakenError() : error;
    }
  }

  /** Nobody waits for this secret any more: whoever looks at the key removes its twin, unless the record names it. */
  async function clearUp(keyId: string, entry: TwinEntry): Promise<void> {
    await rows.change(keyId, (twin) => {
      const known = twin.entries.find(({ token }) => token === entry.token) ?? entry;
      return withEntry(twin, { ...known, preparedUntilMs: null });
    });
    await lookSoon(keyId);
  }

  /** What was sent may be carried out even later. */
  async function lookLater(keyId: string, entry: TwinEntry, noting: Noting): Promise<void> {
    await store.enqueueOutbox([keyId], leaseMs);
    await remember(keyId, entry, noting);
  }

  /** Others may have cleared up already, if it took long. */
  async function remember(keyId: string, entry: TwinEntry, noting: Noting): Promise<void> {
    await rows.change(keyId, (twin) => noting(twin.entries.some(isOf(entry)) ? twin : withEntry(twin, entry)));
  }

  /** LiteLLM has never heard of this secret. */
  async function forget(keyId: string, entry: TwinEntry): Promise<void> {
    const withoutIt = (twin: TwinRecord) => ({ ...twin, entries: twin.entries.filter((other) => !isOf(entry)(other)) });
    const twin = await rows.find(keyId);
    if (twin === undefined) return;
    if (withoutIt(twin).entries.length === 0 && (await rows.remove(twin))) return;
    await rows.change(keyId, withoutIt);
    // They may have to be called as before.
    await lookSoon(keyId);
  }

  async function lookSoon(keyId: string): Promise<void> {
    await store.enqueueOutbox([keyId], 0);
    wake();
  }

  async function finish(change: KeyChange, secret: string): Promise<void> {
    const { key, action } = change;
    const token = tokenOf(secret);
    const isKnown = (await rows.find(key.id))?.entries.some((entry) => entry.token === token) === true;
    // The change took so long that somebody has cleared up after it.
    if (!isKnown) await prepare(change, secret);
    await rows.change(key.id, (twin) => withFinished(twin, token, action === 'create' ? now() : null));
    await lookSoon(key.id);
  }

  return {
    outbox: true,
    async before(change) {
      refuseUnholdable(change);
      if (change.secret !== null) await prepare(change, change.secret);
    },
    async after(change) {
      if (change.secret !== null) return finish(change, change.secret);
      if (change.action !== 'resetSpend') return wake();
      await rows.change(change.key.id, (twin) => ({ ...twin, mustResetSpend: true }));
      await lookSoon(change.key.id);
    },
    async undo(change) {
      if (change.secret !== null) await clearUp(change.key.id, entryOf(change, change.secret));
    },
  };
}

/** Notes that LiteLLM owes an answer, if it does. */
type Noting = (twin: TwinRecord) => TwinRecord;

/** Nothing was sent that could be carried out. */
function tooLate(): LiteLLMError {
  return new LiteLLMError('litellm_unavailable', 'LiteLLM did not answer in time');
}

function isOf({ token }: TwinEntry): (entry: TwinEntry) => boolean {
  return (entry) => entry.token === token;
}

/** The key's other twin gives its alias up. */
function withPrepared(twin: TwinRecord, entry: TwinEntry): TwinRecord {
  const entries = twin.entries.map((other) =>
    other.alias === entry.alias ? { ...other, alias: otherAlias(other.alias), aliasOf: null } : other,
  );
  return withEntry({ ...twin, state: 'pending', entries }, entry);
}

function withMade(twin: TwinRecord, entry: TwinEntry, { alias, warnings }: WrittenTwin): TwinRecord {
  return { ...withEntry(twin, { ...entry, alias, sealed: null }), warnings };
}

/** `syncedAtMs`: when both sides were equal, if they are; `null`: the key has other twins to look at. */
function withFinished(twin: TwinRecord, token: string, syncedAtMs: number | null): TwinRecord {
  const entries = twin.entries.map((entry) => (entry.token === token ? { ...entry, preparedUntilMs: null } : entry));
  const isThere = entries.some((entry) => entry.token === token && entry.sealed === null);
  if (syncedAtMs === null || !isThere) return { ...twin, entries };
  return { ...twin, entries, state: 'synced', error: null, attempts: 0, syncedAtMs };
}

/** Of what is there already LiteLLM holds as much as it can. @throws InvalidRequestError naming what it has no room for */
function refuseUnholdable({ key: { maxParallelRequests }, before }: KeyChange): void {
  if (maxParallelRequests === null || maxParallelRequests <= maxParallelAtMost) return;
  if (maxParallelRequests === before?.maxParallelRequests) return;
  const message = `must be at most ${maxParallelAtMost}, which is what LiteLLM holds`;
  throw new InvalidRequestError([{ field: 'maxParallelRequests', message }]);
}
