import { KeyNotFoundError, VersionConflictError } from '../errors.ts';
import type { Actor } from '../stores/store.ts';
import { auditEntry } from './audit.ts';
import { checkActor } from './change-options.ts';
import { maxConflicts, retrying, updated } from './conflicts.ts';
import { made } from './pending-fence.ts';
import type { ServiceContext } from './service-context.ts';
import { keyStatus } from './virtual-key.ts';

/** Removes keys. Their usage and their audit rows stay. */
export function createKeyRemoval(context: ServiceContext) {
  const { store, hooks, events, now, withDeadline, shown, auditView } = context;

  async function remove(id: string, actor: Actor | undefined, onlyExpired: boolean): Promise<boolean> {
    return retrying(VersionConflictError, maxConflicts, async () => {
      const current = await context.findRecord(id);
      if (current === undefined) throw new KeyNotFoundError();
      if (onlyExpired && keyStatus(current, now()) !== 'expired') return false;
      const key = await shown(current);
      const { pending } = await hooks.around({ action: 'delete', key, before: key, secret: null }, async () => {
        const audit = auditEntry('key.deleted', `key:${id}`, actor, auditView(current), null);
        const act = { audit, outbox: hooks.wantsOutbox, fence: true, carries: [] };
        const removing = withDeadline(store.deleteKey(id, current.version, act));
        return made(
          removing.then((outcome) => updated(outcome, null)),
          null,
        );
      });
      context.forget(`key:${id}`);
      events.emit('key.deleted', { key });
      if (pending !== null) throw pending;
      return true;
    });
  }

  return {
    async delete(id: string, actor?: Actor) {
      checkActor(actor);
      await remove(id, actor, false);
    },

    async deleteExpired(actor?: Actor) {
      checkActor(actor);
      let deleted = 0;
      for (;;) {
        const { items } = await withDeadline(store.listKeys({ status: 'expired' }, { limit: 100 }));
        let removed = 0;
        for (const { id } of items) if (await remove(id, actor, true).catch(unlessGone)) removed += 1;
        if (removed === 0) return deleted;
        deleted += removed;
      }
    },
  };
}

/** Somebody else removed it first. */
function unlessGone(error: unknown): false {
  if (error instanceof KeyNotFoundError) return false;
  throw error;
}
