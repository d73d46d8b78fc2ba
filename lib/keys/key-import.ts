import type { Actor } from '../stores/store.ts';
import { checkActor } from './change-options.ts';
import type { KeyFields } from './key-fields.ts';
import type { KeyInput } from './key-input.ts';
import { createKeyInsertion, underFreeAlias } from './key-insertion.ts';
import { parseKeyInput } from './key-schema.ts';
import { newRecord, type RecordSecret } from './new-record.ts';
import { checkMaximums } from './quotas.ts';
import type { ServiceContext } from './service-context.ts';
import type { VirtualKey } from './shown-key.ts';
import type { VirtualKeyRecord } from './virtual-key.ts';

/** A key that was made elsewhere, and of whose secret only the hash is known. */
export interface ImportedKey {
  /** What it may do. Defaults fill in nothing: what it leaves out is unlimited. */
  readonly input: KeyInput;
  /** SHA-256 of the secret, in hex. A pepper does not cover it. */
  readonly digest: string;
  /** What tells it from others, in place of the first and last characters of the secret. */
  readonly prefix: string;
  readonly isDisabled: boolean;
}

/**
 * Makes an imported key one of the service, good at once. `undefined`: its secret opens a key already.
 *
 * @throws InvalidRequestError, QuotaLimitsExceededError or OwnerKeyLimitError as for a new key
 */
export type ImportKey = (imported: ImportedKey, actor?: Actor) => Promise<VirtualKey | undefined>;

/** Whether a key could be imported. @throws what importing it would */
export type CheckImport = (imported: ImportedKey) => Promise<boolean>;

export function createKeyImport(context: ServiceContext): {
  readonly importKey: ImportKey;
  readonly checkImport: CheckImport;
} {
  const { store, secrets, hooks, events, now, withDeadline, shown } = context;
  const insertRecord = createKeyInsertion(context);

  async function insert(fields: KeyFields, secret: RecordSecret, isDisabled: boolean, actor: Actor | undefined) {
    const nowMs = now();
    const record: VirtualKeyRecord = {
      ...newRecord(fields, secret, nowMs),
      disabledAtMs: isDisabled ? nowMs : null,
    };
    const key = await shown(record);
    return hooks.around({ action: 'create', key, before: null, secret: null }, async () => {
      const outcome = await insertRecord(record, 'key.imported', actor);
      return outcome === 'inserted' ? key : undefined;
    });
  }

  /** `undefined`: its secret opens a key already. */
  async function readFields({ input, digest }: ImportedKey): Promise<KeyFields | undefined> {
    const { maximums } = await context.quotas();
    const fields = parseKeyInput(input, now());
    checkMaximums(fields, maximums, now());
    const owner = await withDeadline(store.findKeyByHash(secrets.hashesOfDigest(digest)));
    return owner === undefined ? fields : undefined;
  }

  return {
    checkImport: async (imported) => (await readFields(imported)) !== undefined,

    async importKey(imported, actor) {
      checkActor(actor);
      const fields = await readFields(imported);
      if (fields === undefined) return undefined;
      const { digest: secretHash, prefix, isDisabled } = imported;
      const secret = { secretHash, prefix };
      const key = await underFreeAlias(() => insert(fields, secret, isDisabled, actor));
      if (key !== undefined) events.emit('key.created', { key });
      return key;
    },
  };
}
