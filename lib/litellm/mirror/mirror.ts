import { KeyNotFoundError } from '../../errors.ts';
import type { AttachedMirror, ShownSync, SyncStatus } from '../../keys/attached-mirror.ts';
import { internalsOf } from '../../keys/internals.ts';
import { createImportKeys, type ImportKeys } from '../import/import-keys.ts';
import { createReconcile, type Reconcile } from '../reconcile/reconcile.ts';
import { createPullSpend, type PullSpend } from '../spend/pull-spend.ts';
import { createRecordOpening } from '../spend/record-opening.ts';
import type { TwinOptions } from '../twin/wanted-twin.ts';
import { checkProxy } from './check-proxy.ts';
import { createLookNow } from './look-now.ts';
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
  /** Looks at a key now; of one that another process holds too long, answers what is known. @throws KeyNotFoundError */
  resync(keyId: string): Promise<ShownSync>;
  status(): Promise<SyncStatus>;
  /** Compares all keys with all twins, and mends what differs. Works whether or not the mirror was started. */
  readonly reconcile: Reconcile;
  /** Makes LiteLLM's own keys keys of this service, good here at once. Works whether or not the mirror was started. */
  readonly importKeys: ImportKeys;
  /** Brings what was spent by calls straight to LiteLLM into the usage record, each call once. */
  readonly pullSpend: PullSpend;
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
  const checked = checkMirrorOptions(options);
  const { keys, client, deploymentId, vault, queues, models, limits, leaseMs } = checked;
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
  const syncKey = createSyncKey({ store, now, rows, writer, vault, leaseMs, twinOptions, onChanged });
  const worker = createWorker({ store, client, syncKey, leaseMs, logger: service.logger });
  const lookNow = createLookNow({ store, rows, worker, patienceMs: client.timeoutMs });
  const preparation = createPreparation({
    ...{ store, now, client, rows, writer, twinOptions, leaseMs },
    vault: queues ? vault : undefined,
    hash: secrets.hash,
    wake: worker.wake,
  });

  /** What the proxy is and serves now. */
  async function learn(): Promise<void> {
    const { hasLicense } = await checkProxy(client);
    isEnterprise = hasLicense ?? isEnterprise;
    served.forget();
  }

  async function resync(keyId: string): Promise<ShownSync> {
    const isKnown = (await store.findKey(keyId)) !== undefined || (await rows.find(keyId)) !== undefined;
    if (!isKnown) throw new KeyNotFoundError();
    const twin = await lookNow(keyId);
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

  const { isNamed, policy } = checked;
  const { hashesOfDigest } = secrets;
  const recordOpening = createRecordOpening(keys, rows);
  const maximums = async () => (await internals.quotas()).maximums;
  const shared = { keys, client, store, rows, now, deploymentId, hashesOfDigest, twinOptions, learn, recordOpening };

  return {
    async start() {
      await learn();
      worker.start();
    },
    stop: worker.stop,
    flush: worker.flush,
    resync,
    status,
    reconcile: createReconcile({ ...shared, writer, isNamed, lookNow, maximums }, policy),
    importKeys: createImportKeys({
      ...shared,
      wake: worker.wake,
      importKey: internals.importKey,
      checkImport: internals.checkImport,
    }),
    pullSpend: createPullSpend(shared),
  };
}
