import { AliasTakenError } from '../errors.ts';
import type { Actor } from '../stores/store.ts';
import { checkActor } from './change-options.ts';
import type { KeyFields } from './key-fields.ts';
import type { KeyInput } from './key-input.ts';
import { createKeyInsertion, underFreeAlias } from './key-insertion.ts';
import { parseKeyInput } from './key-schema.ts';
import { newRecord } from './new-record.ts';
import { applyDefaults, checkMaximums } from './quotas.ts';
import type { ServiceContext } from './service-context.ts';
import type { VirtualKey } from './shown-key.ts';

/** Makes keys. Their secret is in the answer, and nowhere else. */
export function createKeyCreation(context: ServiceContext) {
  const { secrets, hooks, events, now, shown } = context;
  const insertRecord = createKeyInsertion(context);

  /** Each try has a secret of its own: a hook may still be clearing up after the one before it. */
  async function insert(fields: KeyFields, actor: Actor | undefined): Promise<{ key: VirtualKey; secret: string }> {
    const secret = secrets.mint();
    const record = newRecord(fields, { secretHash: secrets.hash(secret), prefix: secrets.display(secret) }, now());
    const key = await shown(record);
    await hooks.around({ action: 'create', key, before: null, secret }, async () => {
      const outcome = await insertRecord(record, 'key.created', actor);
      if (outcome !== 'inserted') throw new AliasTakenError();
    });
    if (context.mirror.current === undefined) return { key, secret };
    // The key is there: a store that fails now must not lose its secret.
    return { key: await shown(record).catch(() => key), secret };
  }

  return async function create(input: KeyInput, actor?: Actor): Promise<{ key: VirtualKey; secret: string }> {
    checkActor(actor);
    const quotas = await context.quotas();
    const fields = parseKeyInput(applyDefaults(input, quotas.defaults), now());
    checkMaximums(fields, quotas.maximums, now());
    const created = await underFreeAlias(() => insert(fields, actor));
    events.emit('key.created', { key: created.key });
    return created;
  };
}
