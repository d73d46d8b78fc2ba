import type { Records } from '../../store.ts';
import { type Changes, createChanges, type RaiseFence } from './changes.ts';
import { createHistory } from './history.ts';
import { createKeyLists } from './key-lists.ts';
import { createKeyRecords } from './keys.ts';
import { createOutbox } from './outbox.ts';
import { createPolicyRecords } from './policies.ts';
import type { RecordConnection } from './record-connection.ts';
import { createTwins } from './twins.ts';

export interface RedisRecordsOptions {
  readonly connection: RecordConnection;
  /** Tells the ledger of a change; its scopes live in other slots. */
  readonly raiseFence: RaiseFence;
  readonly maxAuditRows: number;
  readonly maxAlerts: number;
}

/** Keys, policies and their history in one slot of Redis, so that each change is one script. */
export function createRedisRecords(options: RedisRecordsOptions): Records & Pick<Changes, 'raisePending'> {
  const { connection, raiseFence, maxAuditRows, maxAlerts } = options;
  const changes = createChanges({ connection, raiseFence, maxAuditRows });
  const { readKeys, ...keys } = createKeyRecords(connection, changes);
  return {
    ...keys,
    ...createKeyLists({ connection, readKeys }),
    ...createPolicyRecords(connection, changes),
    ...createHistory({ connection, changes, maxAlerts }),
    ...createOutbox(connection),
    ...createTwins(connection),
    raisePending: changes.raisePending,
  };
}
