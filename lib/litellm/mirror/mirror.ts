import { KeyNotFoundError } from '../../errors.ts';
import type { AttachedMirror, ShownSync, SyncStatus } from '../../keys/attached-mirror.ts';
import { internalsOf } from '../../keys/internals.ts';
import type { TwinOptions } from '../twin/wanted-twin.ts';
import { checkProxy } from './check-proxy.ts';
import { checkMirrorOptions, type MirrorOptions } from './mirror-options.ts';
import { withDeadlines } from './mirror-store.ts';
import { createPreparation } from './prepare.ts';
import { createServedModels } from './served-models.ts';
import { showSync } from './show-sync.ts';
import { createSyncKey } from './sync-key.ts';
import { createTeams } from './teams.ts';
import { createTwinRows, type TwinRecord } from './twin-rows.ts';
import { createTwinWriter } from './twin-writer.ts';
import { createWorker } from './worker.ts';

/** Keeps a twin of every key in LiteLLM. */
export interface Mirror {
  /**
   * Checks the proxy, and begins to bring changes there; several processes may share the work.
   *
   * @throws LiteLLMError saying what is wrong with the URL, the master key, the database or the version
   */
  start(): Promise<void>;
  /** Resolves when what is being sent is answered. What waits stays in the outbox; keys can still be made and changed. */
  stop(): Promise<void>;
  /**
   * Resolves when nothing that is due waits, here or in another process; what is put off is not due. Works whether or not
   * the mirror was started.
   *
   * @throws Error where it is stopped meanwhile
   */
  flush(): Promise<void>;
  /** Looks at a key now. @throws KeyNotFoundError */
  resync(keyId: string): Promise<ShownSync>;
  status(): Promise<SyncStatus>;
}

/**
 * Mirrors the keys of a service to LiteLLM: each secret is good on both sides, with the limits that LiteLLM can hold.
 *
 * @example
 * ```ts
 * const mirror = mirrorToLiteLLM({ keys, client: createLiteLLMClient({ baseUrl, masterKey }), deploymentId: 'production' });
 * await mirror.start();
 * ```
 * @throws TypeError for options that are unknown, missing or of no use, and where the keys have a mirror
 */
export function mirrorToLiteLLM(options: MirrorOptions): Mirror {
  const { keys, client, deploymentId, vault, models, limits, leaseMs } = checkMirrorOptions(options);
  const internals = internalsOf('mirrorToLiteLLM', keys);
  const { secrets, hooks, mirror: place, events, now, options: service } = internals;
  if (!service.secretPrefix.startsWith('sk-')) {
    throw new TypeError(`mirrorToLiteLLM: LiteLLM takes only secrets that begin with sk-, not ${service.secretPrefix}`);
  }
  const store = withDeadlines(internals.store, internals.withDeadline);
  const rows = createTwinRows(store);
  const served = createServedModels(client);
  let isEnterprise = true;

  async function twinOptions(): Promise<TwinOptions> {
    return { deploymentId, limits, models, isEnterprise, nowMs: now(), ...(await served.names()) };
  }

  function onChanged(before: TwinRecord, after: TwinRecord): void {
    const [was, is] = [showSync(before), showSync(after)];
    if (was.state === is.state && was.alias === is.alias && was.error === is.error) return;
    events.emit('sync.changed', { keyId: after.keyId, sync: is });
  }

  const writer = createTwinWriter({
    deploymentId,
    now,
    ensureTeam: createTeams(client),
    onEnterpriseOnly: () => {
      isEnterprise = false;
    },
  });
  const syncKey = createSyncKey({ store, now, rows, writer, vault, twinOptions, onChanged });
  const worker = createWorker({ store, client, syncKey, leaseMs, logger: service.logger });
  const preparation = createPreparation({
    ...{ store, now, client, rows, writer, twinOptions, vault, leaseMs },
    hash: secrets.hash,
    wake: worker.wake,
  });

  async function resync(keyId: string): Promise<ShownSync> {
    const isKnown = (await store.findKey(keyId)) !== undefined || (await rows.find(keyId)) !== undefined;
    if (!isKnown) throw new KeyNotFoundError();
    await store.enqueueOutbox([keyId], 0);
    await worker.look(keyId);
    const twin = await rows.find(keyId);
    if (twin === undefined) throw new KeyNotFoundError();
    return showSync(twin);
  }

  async function status(): Promise<SyncStatus> {
    const [counts, { due, claimed, later }] = await Promise.all([store.countTwins(), store.outboxBacklog()]);
    return { ...counts, waiting: { now: due + claimed, later } };
  }

  const attached: AttachedMirror = {
    async show(keyIds) {
      return new Map((await rows.findAll(keyIds)).map((twin) => [twin.keyId, showSync(twin)]));
    },
    resync,
    status,
  };
  place.attach(attached);
  hooks.add(preparation);

  return {
    async start() {
      const { hasLicense } = await checkProxy(client);
      isEnterprise = hasLicense ?? true;
      worker.start();
    },
    stop: worker.stop,
    flush: worker.flush,
    resync,
    status,
  };
}
