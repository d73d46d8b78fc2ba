import { AliasTakenError, OwnerKeyLimitError } from '../errors.ts';
import type { Actor } from '../stores/store.ts';
import { auditEntry } from './audit.ts';
import { retrying } from './conflicts.ts';
import type { ServiceContext } from './service-context.ts';
import type { VirtualKeyRecord } from './virtual-key.ts';

const maxAliasTries = 5;

/** Makes a record again, under another alias, where the one before was taken. */
export function underFreeAlias<T>(make: () => Promise<T>): Promise<T> {
  return retrying(AliasTakenError, maxAliasTries, make);
}

/**
 * Stores new records with their audit rows; `secret_taken`: the secret opens a key already.
 *
 * @throws AliasTakenError or OwnerKeyLimitError
 */
export function createKeyInsertion({ store, hooks, withDeadline, auditView, options }: ServiceContext) {
  const maxActive = options.maxActiveKeysPerOwner ?? null;

  return async function insert(
    record: VirtualKeyRecord,
    action: 'key.created' | 'key.imported',
    actor: Actor | undefined,
  ): Promise<'inserted' | 'secret_taken'> {
    const audit = auditEntry(action, `key:${record.id}`, actor, null, auditView(record));
    const change = { audit, outbox: hooks.wantsOutbox, fence: true, carries: [] };
    const { outcome } = await withDeadline(store.insertKey(record, change, { maxActive }));
    if (outcome === 'inserted' || outcome === 'secret_taken') return outcome;
    if (outcome === 'owner_limit') throw new OwnerKeyLimitError(maxActive ?? 0);
    throw new AliasTakenError();
  };
}
