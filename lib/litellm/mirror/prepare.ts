import { createHash } from 'node:crypto';
import { AliasTakenError, InvalidRequestError, isLlmKeysError, LiteLLMError } from '../../errors.ts';
import type { KeyChange, KeyHook } from '../../keys/hooks.ts';
import type { SecretFormat } from '../../keys/secret.ts';
import type { Store } from '../../stores/store.ts';
import type { LiteLLMClient } from '../client/client.ts';
import { maxParallelAtMost, type TwinOptions, wantedTwin } from '../twin/wanted-twin.ts';
import type { SecretVault } from '../vault.ts';
import { isAliasTaken, otherAlias } from './fresh-alias.ts';
import type { TwinEntry, TwinRecord, TwinRows } from './twin-rows.ts';
import type { TwinWriter } from './twin-writer.ts';

export interface PrepareOptions {
  readonly store: Store;
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

  /** The key's other twin gives its alias up, since both are there for a while. */
  function withEntry(twin: TwinRecord, entry: TwinEntry): TwinRecord {
    const entries = twin.entries.map((other) =>
      other.alias === entry.alias ? { ...other, alias: otherAlias(other.alias), aliasOf: null } : other,
    );
    return { ...twin, state: 'pending', entries: [...entries, entry] };
  }

  function withoutPreparation(twin: TwinRecord, token: string): TwinRecord {
    const entries = twin.entries.map((entry) => (entry.token === token ? { ...entry, preparedUntilMs: null } : entry));
    return { ...twin, entries };
  }

  async function makeTwin({ key, before }: KeyChange, secret: string, entry: TwinEntry, sendUntilMs: number) {
    const keys = client.keysUntil(sendUntilMs);
    const known = (await rows.find(key.id))?.entries.filter(({ token }) => token !== entry.token) ?? [];
    const wanted = wantedTwin({ key, status: key.status, endsAtMs: null }, await twinOptions());
    let spend: number | undefined;
    if (before !== null) {
      const shownBefore = { key: before, status: before.status, endsAtMs: null };
      const wantedBefore = wantedTwin(shownBefore, await twinOptions());
      for (const { token, alias } of known) {
        const theirs = await keys.find(token);
        if (theirs === undefined) continue;
        spend = Math.max(spend ?? 0, theirs.spend);
        if (theirs.key_alias === entry.alias) await writer.update(keys, token, wantedBefore, alias);
      }
    }
    return writer.generate(keys, secret, wanted, entry.alias, spend);
  }

  async function prepare(change: KeyChange, secret: string): Promise<void> {
    const { key } = change;
    const token = createHash('sha256').update(secret).digest('hex');
    const entry: TwinEntry = {
      secretHash: hash(secret),
      token,
      alias: key.alias,
      aliasOf: key.alias,
      sealed: vault === undefined ? null : await vault.seal(secret),
      preparedUntilMs: now() + leaseMs,
    };
    const sendUntilMs = performance.now() + leaseMs - client.timeoutMs;
    await rows.change(key.id, (twin) => withEntry(twin, entry));
    await store.enqueueOutbox([key.id], leaseMs);
    try {
      const { alias, warnings } = await makeTwin(change, secret, entry, sendUntilMs);
      await rows.change(key.id, (twin) => ({
        ...twin,
        warnings,
        entries: twin.entries.map((other) => (other.token === token ? { ...other, alias, sealed: null } : other)),
      }));
    } catch (error) {
      if (vault !== undefined && isUnavailable(error)) return;
      await clearUp(key.id, token);
      // The service draws another alias, and both sides are called alike.
      throw change.action === 'create' && isAliasTaken(error) ? new AliasTakenError() : error;
    }
  }

  /** Nobody waits for this secret any more: whoever looks at the key removes its twin, unless the record names it. */
  async function clearUp(keyId: string, token: string): Promise<void> {
    await rows.change(keyId, (twin) => withoutPreparation(twin, token));
    await store.enqueueOutbox([keyId], 0);
    wake();
  }

  async function finish({ key, action, secret }: KeyChange): Promise<void> {
    if (secret !== null) {
      const token = createHash('sha256').update(secret).digest('hex');
      const syncedAtMs = now();
      await rows.change(key.id, (twin) => {
        const isThere = twin.entries.some((entry) => entry.token === token && entry.sealed === null);
        const isSynced = isThere && action === 'create';
        const synced = isSynced ? { state: 'synced' as const, error: null, attempts: 0, syncedAtMs } : {};
        return { ...withoutPreparation(twin, token), ...synced };
      });
    }
    wake();
  }

  return {
    outbox: true,
    async before(change) {
      refuseUnholdable(change);
      if (change.secret !== null) await prepare(change, change.secret);
    },
    after: finish,
    async undo(change) {
      if (change.secret !== null)
        await clearUp(change.key.id, createHash('sha256').update(change.secret).digest('hex'));
    },
  };
}

function isUnavailable(error: unknown): boolean {
  return error instanceof LiteLLMError && isLlmKeysError(error) && error.code === 'litellm_unavailable';
}

/** @throws InvalidRequestError naming what LiteLLM has no room for */
function refuseUnholdable({ key }: KeyChange): void {
  const { maxParallelRequests } = key;
  if (maxParallelRequests === null || maxParallelRequests <= maxParallelAtMost) return;
  const message = `must be at most ${maxParallelAtMost}, which is what LiteLLM holds`;
  throw new InvalidRequestError([{ field: 'maxParallelRequests', message }]);
}
