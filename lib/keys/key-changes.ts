import { isDeepStrictEqual } from 'node:util';
import { KeyNotFoundError, KeyRevokedError, VersionConflictError } from '../errors.ts';
import type { Actor, BudgetCarry, Change } from '../stores/store.ts';
import { createAlias } from './alias.ts';
import { auditEntry } from './audit.ts';
import { carriesOf, openingsOf } from './budget-openings.ts';
import { checkActor, parseRevokeOptions, parseRotateOptions, parseUpdateOptions } from './change-options.ts';
import { maxConflicts, retrying, updated } from './conflicts.ts';
import type { KeyChange } from './hooks.ts';
import type { KeyPatch } from './key-input.ts';
import { applyKeyPatch } from './key-schema.ts';
import { type Made, made, RotationPendingError } from './pending-fence.ts';
import { keyScope } from './principals.ts';
import { checkMaximums } from './quotas.ts';
import type { ServiceContext } from './service-context.ts';
import type { VirtualKey } from './shown-key.ts';
import type { VirtualKeyRecord } from './virtual-key.ts';
import type { RevokeOptions, RotateOptions, UpdateOptions } from './virtual-keys.ts';

/** What a change does to a record; the version, the revision and the time of the change are not its business. */
type Mutation = (current: VirtualKeyRecord, nowMs: number) => Partial<VirtualKeyRecord>;

interface Changed {
  readonly before: VirtualKey;
  readonly key: VirtualKey;
}

type TellChange = (changed: Changed) => void;

interface ChangeRequest {
  readonly action: Exclude<KeyChange['action'], 'create' | 'delete' | 'resetSpend'>;
  readonly ifVersion?: number | undefined;
  readonly actor: Actor | undefined;
  /** Told as soon as the change is stored. */
  readonly tell: TellChange;
  readonly reason?: string | null | undefined;
  /** The secret that the mutation has made. */
  readonly secretMade?: (() => string) | undefined;
}

/** Fields whose change no admission has to hear of. */
const cosmeticFields: ReadonlySet<string> = new Set([
  'name',
  'alias',
  'tags',
  'metadata',
  'softBudgetNanoUsd',
  'version',
  'revision',
  'updatedAtMs',
  'lastUsedAtMs',
]);

/** Everything that changes a key. Each is one compare-and-set in the store, with its audit row. */
export function createKeyChanges(context: ServiceContext) {
  const { store, secrets, hooks, events, now, withDeadline, withReportDeadline, shown, auditView } = context;
  const maxActive = context.options.maxActiveKeysPerOwner ?? null;

  async function change(id: string, request: ChangeRequest, mutate: Mutation): Promise<Changed> {
    checkActor(request.actor);
    const tries = request.ifVersion === undefined ? maxConflicts : 1;
    try {
      const { pending, ...changed } = await retrying(VersionConflictError, tries, () =>
        changeOnce(id, request, mutate),
      );
      request.tell(changed);
      if (pending === null) return changed;
      const secret = request.secretMade?.();
      throw secret === undefined ? pending : new RotationPendingError({ key: changed.key, secret }, pending);
    } finally {
      // Also after a failure: a change that was not answered in time may have been made.
      context.forget(`key:${id}`);
    }
  }

  async function changeOnce(
    id: string,
    request: ChangeRequest,
    mutate: Mutation,
  ): Promise<Changed & Pick<Made<unknown>, 'pending'>> {
    const { ifVersion, action, actor, reason = null, secretMade } = request;
    const current = await context.findRecord(id);
    if (current === undefined) throw new KeyNotFoundError();
    if (ifVersion !== undefined && ifVersion !== current.version) throw new VersionConflictError(current.version);
    if (current.revokedAtMs !== null) throw new KeyRevokedError();
    const nowMs = now();
    const next = { ...current, ...mutate(current, nowMs), version: current.version + 1, updatedAtMs: nowMs };
    const before = await shown(current);
    const planned = await shown(next);
    const secret = secretMade?.() ?? null;
    const { record, pending } = await hooks.around({ action, key: planned, before, secret }, async () => {
      const fence = action === 'repair' || mattersForAdmission(current, next);
      const carries = fence ? await withReportDeadline(carriesTo(current, next, action, nowMs)) : [];
      const audit = auditEntry(
        `key.${pastTense[action]}`,
        `key:${id}`,
        actor,
        auditView(current),
        auditView(next),
        reason,
      );
      const act: Change = { audit, outbox: hooks.wantsOutbox, fence, carries };
      const updating = withDeadline(store.updateKey(next, act, { maxActive }));
      return made(
        updating.then((outcome) => updated(outcome, maxActive)),
        next,
      );
    });
    // The change is made: counters that cannot be read now must not let it look refused, nor lose a new secret.
    return { before, key: await shown(record).catch(() => planned), pending };
  }

  /** Of a record that is repaired nobody knows by which one its budgets were counted until now. */
  function carriesTo(
    current: VirtualKeyRecord,
    next: VirtualKeyRecord,
    action: ChangeRequest['action'],
    nowMs: number,
  ): Promise<readonly BudgetCarry[]> {
    if (action === 'repair') return openingsOf(store, keyScope(next), nowMs);
    return carriesOf(store, keyScope(current), keyScope(next), nowMs);
  }

  const tellUpdate: TellChange = ({ before, key }) => events.emit('key.updated', { key, before });

  return {
    async update(id: string, patch: KeyPatch, options?: UpdateOptions, actor?: Actor) {
      const { ifVersion, approve } = parseUpdateOptions(options);
      const { maximums } = await context.quotas();
      const { key } = await change(id, { action: 'update', ifVersion, actor, tell: tellUpdate }, (current, nowMs) => {
        const fields = applyKeyPatch(current, patch, nowMs);
        approve?.(current, fields);
        checkMaximums(fields, maximums, nowMs, current);
        return fields.name === current.name ? fields : { ...fields, alias: createAlias(fields.name) };
      });
      return key;
    },

    async rotate(id: string, options?: RotateOptions, actor?: Actor) {
      const { graceSeconds = 0, ifVersion } = parseRotateOptions(options);
      const graceMs = graceSeconds * 1000;
      let secret = '';
      let graceEndsAtMs: number | null = null;
      const request: ChangeRequest = {
        action: 'rotate',
        ifVersion,
        actor,
        secretMade: () => secret,
        tell({ key }) {
          const graceEndsAt = graceEndsAtMs === null ? null : new Date(graceEndsAtMs).toISOString();
          events.emit('key.rotated', { key, graceEndsAt });
        },
      };
      const { key } = await change(id, request, (current, nowMs) => {
        // Each try has one of its own: a hook may still be clearing up after the one before it.
        secret = secrets.mint();
        graceEndsAtMs = graceMs === 0 ? null : nowMs + graceMs;
        return {
          secretHash: secrets.hash(secret),
          prefix: secrets.display(secret),
          // A grace that still lasts ends here: at most two secrets open a key.
          previousSecret: graceEndsAtMs === null ? null : { secretHash: current.secretHash, endsAtMs: graceEndsAtMs },
        };
      });
      return { key, secret };
    },

    async disable(id: string, actor?: Actor) {
      const { key } = await change(id, { action: 'disable', actor, tell: tellUpdate }, ({ disabledAtMs }, nowMs) => ({
        disabledAtMs: disabledAtMs ?? nowMs,
      }));
      return key;
    },

    async enable(id: string, actor?: Actor) {
      const { key } = await change(id, { action: 'enable', actor, tell: tellUpdate }, () => ({ disabledAtMs: null }));
      return key;
    },

    async repair(id: string, actor?: Actor) {
      const { key } = await change(id, { action: 'repair', actor, tell: tellUpdate }, () => ({}));
      return key;
    },

    async revoke(id: string, options?: RevokeOptions, actor?: Actor) {
      const { reason } = parseRevokeOptions(options);
      const tell: TellChange = ({ key }) => events.emit('key.revoked', { key, reason });
      const { key } = await change(id, { action: 'revoke', actor, reason, tell }, (_current, nowMs) => ({
        revokedAtMs: nowMs,
        revokedReason: reason,
      }));
      return key;
    },
  };
}

const pastTense = {
  update: 'updated',
  rotate: 'rotated',
  disable: 'disabled',
  enable: 'enabled',
  repair: 'repaired',
  revoke: 'revoked',
} as const;

/** Whether requests judged by the record as it was must be judged again. */
function mattersForAdmission(before: VirtualKeyRecord, after: VirtualKeyRecord): boolean {
  const fields = Object.keys(after) as (keyof VirtualKeyRecord)[];
  return fields.some((field) => !cosmeticFields.has(field) && !isDeepStrictEqual(before[field], after[field]));
}
