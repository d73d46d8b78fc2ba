import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import {
  AliasTakenError,
  KeyNotFoundError,
  KeyRevokedError,
  OwnerKeyLimitError,
  VersionConflictError,
} from '../errors.ts';
import { budgetPeriod } from '../limits/plan.ts';
import type { Actor, Change, UpdateOutcome } from '../stores/store.ts';
import { createAlias } from './alias.ts';
import { auditEntry } from './audit.ts';
import { carriesOf } from './budget-openings.ts';
import type { KeyChange } from './hooks.ts';
import type { KeyFields } from './key-fields.ts';
import type { KeyInput, KeyPatch } from './key-input.ts';
import { applyKeyPatch, parseGraceSeconds, parseKeyInput, parseReason } from './key-schema.ts';
import { keyScope } from './principals.ts';
import { applyDefaults, checkMaximums } from './quotas.ts';
import type { ServiceContext } from './service-context.ts';
import type { VirtualKey } from './shown-key.ts';
import { spendFirst } from './spend.ts';
import { keyStatus, type VirtualKeyRecord } from './virtual-key.ts';
import type { UpdateOptions } from './virtual-keys.ts';

const maxAliasTries = 5;
/** A change without an expected version is made to whatever version is current; somebody else may be quicker. */
const maxConflicts = 10;

/** What a change does to a record; the version, the revision and the time of the change are not its business. */
type Mutation = (current: VirtualKeyRecord, nowMs: number) => Partial<VirtualKeyRecord>;

interface Changed {
  readonly before: VirtualKey;
  readonly key: VirtualKey;
}

interface ChangeRequest {
  readonly action: Exclude<KeyChange['action'], 'create' | 'delete'>;
  readonly ifVersion?: number | undefined;
  readonly actor: Actor | undefined;
  readonly reason?: string | null | undefined;
  readonly secret?: string | undefined;
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

/** Everything that makes, changes and ends a key. Each is one compare-and-set in the store, with its audit row. */
export function createKeyCommands(context: ServiceContext) {
  const { store, options, secrets, hooks, events, now, withDeadline, shown, auditView } = context;

  async function find(id: string): Promise<VirtualKeyRecord> {
    const record = await context.findRecord(id);
    if (record === undefined) throw new KeyNotFoundError();
    return record;
  }

  async function create(input: KeyInput, actor?: Actor): Promise<{ key: VirtualKey; secret: string }> {
    const quotas = await context.quotas();
    const fields = parseKeyInput(applyDefaults(input, quotas.defaults), now());
    checkMaximums(fields, quotas.maximums, now());
    const secret = secrets.mint();
    const key = await retrying(AliasTakenError, maxAliasTries, () => insert(fields, secret, actor));
    events.emit('key.created', { key });
    return { key, secret };
  }

  async function insert(fields: KeyFields, secret: string, actor: Actor | undefined): Promise<VirtualKey> {
    const nowMs = now();
    const record: VirtualKeyRecord = {
      ...fields,
      id: randomUUID(),
      alias: createAlias(fields.name),
      secretHash: secrets.hash(secret),
      prefix: secrets.display(secret),
      previousSecret: null,
      disabledAtMs: null,
      revokedAtMs: null,
      revokedReason: null,
      version: 1,
      revision: 0,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
      lastUsedAtMs: null,
    };
    const key = await shown(record);
    return hooks.around({ action: 'create', key, before: null, secret }, async () => {
      const audit = auditEntry('key.created', `key:${record.id}`, actor, null, auditView(record));
      const change = { audit, outbox: hooks.wantsOutbox, fence: true, carries: [] };
      const inserted = await withDeadline(store.insertKey(record, change, { maxActive: maxActive() }));
      if (inserted.outcome === 'inserted') return key;
      if (inserted.outcome === 'owner_limit') throw new OwnerKeyLimitError(maxActive() ?? 0);
      throw new AliasTakenError();
    });
  }

  async function change(id: string, request: ChangeRequest, mutate: Mutation): Promise<Changed> {
    const tries = request.ifVersion === undefined ? maxConflicts : 1;
    try {
      return await retrying(VersionConflictError, tries, () => changeOnce(id, request, mutate));
    } finally {
      // Also after a failure: a change that was not answered in time may have been made.
      context.forget(`key:${id}`);
    }
  }

  async function changeOnce(id: string, request: ChangeRequest, mutate: Mutation): Promise<Changed> {
    const { ifVersion, action, actor, reason = null, secret = null } = request;
    const current = await find(id);
    if (ifVersion !== undefined && ifVersion !== current.version) throw new VersionConflictError(current.version);
    if (current.revokedAtMs !== null) throw new KeyRevokedError();
    const nowMs = now();
    const next = { ...current, ...mutate(current, nowMs), version: current.version + 1, updatedAtMs: nowMs };
    const before = await shown(current);
    const planned = await shown(next);
    const record = await hooks.around({ action, key: planned, before, secret }, async () => {
      const fence = mattersForAdmission(current, next);
      const carries = fence ? await withDeadline(carriesOf(store, keyScope(current), keyScope(next), nowMs)) : [];
      const audit = auditEntry(
        `key.${pastTense[action]}`,
        `key:${id}`,
        actor,
        auditView(current),
        auditView(next),
        reason,
      );
      const act: Change = { audit, outbox: hooks.wantsOutbox, fence, carries };
      return updated(await withDeadline(store.updateKey(next, act, { maxActive: maxActive() })));
    });
    // The change is made: counters that cannot be read now must not let it look refused, nor lose a new secret.
    return { before, key: await shown(record).catch(() => planned) };
  }

  /** The record of a change that was made; what kept it from being made is thrown. */
  function updated<R>(outcome: UpdateOutcome<R>): R {
    switch (outcome.outcome) {
      case 'updated':
        return outcome.record;
      case 'not_found':
        throw new KeyNotFoundError();
      case 'alias_taken':
        throw new AliasTakenError();
      case 'owner_limit':
        throw new OwnerKeyLimitError(maxActive() ?? 0);
      case 'version_conflict':
        throw new VersionConflictError(outcome.version);
    }
  }

  function maxActive(): number | null {
    return options.maxActiveKeysPerOwner ?? null;
  }

  return {
    create,

    async update(id: string, patch: KeyPatch, { ifVersion, approve }: UpdateOptions = {}, actor?: Actor) {
      const { maximums } = await context.quotas();
      const { before, key } = await change(id, { action: 'update', ifVersion, actor }, (current, nowMs) => {
        const fields = applyKeyPatch(current, patch, nowMs);
        approve?.(current, fields);
        checkMaximums(fields, maximums, nowMs, current);
        return fields.name === current.name ? fields : { ...fields, alias: createAlias(fields.name) };
      });
      events.emit('key.updated', { key, before });
      return key;
    },

    async rotate(
      id: string,
      { graceSeconds = 0, ifVersion }: { graceSeconds?: number | undefined; ifVersion?: number | undefined } = {},
      actor?: Actor,
    ) {
      const graceMs = parseGraceSeconds(graceSeconds) * 1000;
      const secret = secrets.mint();
      let graceEndsAtMs: number | null = null;
      const { key } = await change(id, { action: 'rotate', ifVersion, actor, secret }, (current, nowMs) => {
        graceEndsAtMs = graceMs === 0 ? null : nowMs + graceMs;
        return {
          secretHash: secrets.hash(secret),
          prefix: secrets.display(secret),
          // A grace that still lasts ends here: at most two secrets open a key.
          previousSecret: graceEndsAtMs === null ? null : { secretHash: current.secretHash, endsAtMs: graceEndsAtMs },
        };
      });
      const graceEndsAt = graceEndsAtMs === null ? null : new Date(graceEndsAtMs).toISOString();
      events.emit('key.rotated', { key, graceEndsAt });
      return { key, secret };
    },

    async disable(id: string, actor?: Actor) {
      const { before, key } = await change(id, { action: 'disable', actor }, ({ disabledAtMs }, nowMs) => ({
        disabledAtMs: disabledAtMs ?? nowMs,
      }));
      events.emit('key.updated', { key, before });
      return key;
    },

    async enable(id: string, actor?: Actor) {
      const { before, key } = await change(id, { action: 'enable', actor }, () => ({ disabledAtMs: null }));
      events.emit('key.updated', { key, before });
      return key;
    },

    async revoke(id: string, given: { reason?: string | undefined } = {}, actor?: Actor) {
      const reason = parseReason(given.reason);
      const { key } = await change(id, { action: 'revoke', actor, reason }, (_current, nowMs) => ({
        revokedAtMs: nowMs,
        revokedReason: reason,
      }));
      events.emit('key.revoked', { key, reason });
      return key;
    },

    async delete(id: string, actor?: Actor) {
      await remove(id, actor, false);
    },

    async deleteExpired(actor?: Actor) {
      let deleted = 0;
      for (;;) {
        const { items } = await withDeadline(store.listKeys({ status: 'expired' }, { limit: 100 }));
        let removed = 0;
        for (const { id } of items) if (await remove(id, actor, true).catch(unlessGone)) removed += 1;
        if (removed === 0) return deleted;
        deleted += removed;
      }
    },

    async resetSpend(id: string, actor?: Actor) {
      const record = await find(id);
      const nowMs = now();
      const budgets = spendFirst(record).map((budget) => ({
        budgetId: budget.id,
        periodStartMs: budgetPeriod(budget, record.createdAtMs, nowMs).startMs,
      }));
      const before = await shown(record);
      const { ownerId, teamId } = record;
      await withDeadline(
        store.adjust({
          id: randomUUID(),
          scopeId: `key:${id}`,
          budgets,
          subject: { keyId: id, ownerId, teamId, model: null, endpoint: null },
          audit: auditEntry('key.spend_reset', `key:${id}`, actor, { spend: before.spend }, { spend: 0 }),
        }),
      );
      const key = await shown(record);
      events.emit('key.updated', { key, before });
      return key;
    },
  };

  async function remove(id: string, actor: Actor | undefined, onlyExpired: boolean): Promise<boolean> {
    return retrying(VersionConflictError, maxConflicts, async () => {
      const current = await find(id);
      if (onlyExpired && keyStatus(current, now()) !== 'expired') return false;
      const key = await shown(current);
      await hooks.around({ action: 'delete', key, before: key, secret: null }, async () => {
        const audit = auditEntry('key.deleted', `key:${id}`, actor, auditView(current), null);
        const act = { audit, outbox: hooks.wantsOutbox, fence: true, carries: [] };
        updated(await withDeadline(store.deleteKey(id, current.version, act)));
      });
      context.forget(`key:${id}`);
      events.emit('key.deleted', { key });
      return true;
    });
  }
}

const pastTense = {
  update: 'updated',
  rotate: 'rotated',
  disable: 'disabled',
  enable: 'enabled',
  revoke: 'revoked',
} as const;

/** Whether requests judged by the record as it was must be judged again. */
function mattersForAdmission(before: VirtualKeyRecord, after: VirtualKeyRecord): boolean {
  const fields = Object.keys(after) as (keyof VirtualKeyRecord)[];
  return fields.some((field) => !cosmeticFields.has(field) && !isDeepStrictEqual(before[field], after[field]));
}

async function retrying<T>(
  conflict: typeof AliasTakenError | typeof VersionConflictError,
  tries: number,
  act: () => Promise<T>,
): Promise<T> {
  for (let left = tries; ; left -= 1) {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof conflict) || left <= 1) throw error;
    }
  }
}

/** Somebody else removed it first. */
function unlessGone(error: unknown): false {
  if (error instanceof KeyNotFoundError) return false;
  throw error;
}
