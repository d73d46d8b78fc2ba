import type { WithDeadline } from '../../stores/deadline.ts';
import type { Store } from '../../stores/store.ts';

/** What a mirror needs of a store. */
export type MirrorStore = Pick<
  Store,
  | 'now'
  | 'findKey'
  | 'findKeyByHash'
  | 'listKeys'
  | 'readOutbox'
  | 'enqueueOutbox'
  | 'claimOutbox'
  | 'deferOutbox'
  | 'clearOutbox'
  | 'outboxBacklog'
  | 'findTwins'
  | 'putTwin'
  | 'removeTwin'
  | 'countTwins'
>;

/** The same, with a deadline for each answer: a store that hangs must hold up neither a change nor the worker. */
export function withDeadlines(store: MirrorStore, withDeadline: WithDeadline): MirrorStore {
  return {
    now: () => withDeadline(store.now()),
    findKey: (id) => withDeadline(store.findKey(id)),
    findKeyByHash: (hashes) => withDeadline(store.findKeyByHash(hashes)),
    listKeys: (filter, page) => withDeadline(store.listKeys(filter, page)),
    readOutbox: (limit) => withDeadline(store.readOutbox(limit)),
    enqueueOutbox: (keyIds, delayMs) => withDeadline(store.enqueueOutbox(keyIds, delayMs)),
    claimOutbox: (limit, leaseMs, keyIds) => withDeadline(store.claimOutbox(limit, leaseMs, keyIds)),
    deferOutbox: (row, delayMs) => withDeadline(store.deferOutbox(row, delayMs)),
    clearOutbox: (rows) => withDeadline(store.clearOutbox(rows)),
    outboxBacklog: () => withDeadline(store.outboxBacklog()),
    findTwins: (keyIds) => withDeadline(store.findTwins(keyIds)),
    putTwin: (row) => withDeadline(store.putTwin(row)),
    removeTwin: (keyId, version) => withDeadline(store.removeTwin(keyId, version)),
    countTwins: () => withDeadline(store.countTwins()),
  };
}
