import { randomUUID } from 'node:crypto';
import { FencePendingError } from '../../../errors.ts';
import type { ScopeId } from '../../../limits/limit.ts';
import type { CombinableLedger, Fence } from '../../combinable.ts';
import type { AuditEntry, Change } from '../../store.ts';
import { asked, type Script } from '../script.ts';
import { quoted } from './names.ts';
import type { RecordConnection } from './record-connection.ts';
import type { ChangeReply } from './record-scripts.ts';

export type RaiseFence = CombinableLedger['fence'];

/** The ways in which a change concerns the counters of its scope. */
export interface FenceOfChange {
  readonly isNew: boolean;
  readonly isClosed: boolean;
}

/** What is changed, apart from the record itself. */
export interface RecordChange {
  readonly recordKey: string;
  readonly scopeId: ScopeId | null;
  readonly change: Change;
  /** `null`: the change concerns no counters. */
  readonly fence: FenceOfChange | null;
}

/** Changes records together with their history, and raises the fences that changes leave. */
export interface Changes {
  /**
   * Resolves when the ledger knows of the change.
   *
   * @throws FencePendingError where it is stored, and the ledger does not know, unless the record is new: until the ledger
   * knows of it, it admits nothing there, and only the answer has what its secret opens
   */
  make(
    script: Script<ChangeReply>,
    change: RecordChange,
    own: { readonly keys: readonly string[]; readonly record: unknown },
  ): Promise<ChangeReply>;
  appendAudit(script: Script<undefined>, entry: AuditEntry): Promise<void>;
  /** Raises what could not be raised when it was due, as far as the ledger answers; tells how many. */
  raisePending(): Promise<number>;
}

export interface ChangesOptions {
  readonly connection: RecordConnection;
  readonly raiseFence: RaiseFence;
  readonly maxAuditRows: number;
}

/** More than one shard's outage leaves; those of other scopes must not wait behind them. */
const pendingAtOnce = 1000;

export function createChanges({ connection, raiseFence, maxAuditRows }: ChangesOptions): Changes {
  const { client, run, names, nowMs } = connection;
  const commonKeys = [names.sequence, names.audit, names.auditRows, names.outbox, names.outboxRows, names.fences];

  function auditArguments(entry: AuditEntry) {
    return {
      nowMs: nowMs(),
      audit: JSON.stringify(entry),
      auditLabel: JSON.stringify([entry.action, entry.target]),
      maxAuditRows,
    };
  }

  function changeArguments({ scopeId, change, fence }: RecordChange) {
    const { audit, outbox, fence: raises, carries } = change;
    const keyId = scopeId?.startsWith('key:') ? scopeId.slice('key:'.length) : undefined;
    return {
      ...auditArguments(audit),
      raises,
      outbox: outbox && keyId !== undefined ? { id: randomUUID(), keyId: quoted(keyId) } : undefined,
      fence: fence === null ? undefined : JSON.stringify({ id: randomUUID(), scopeId, ...fence, carries }),
      channel: scopeId === null ? undefined : names.channel,
      scopeId: scopeId === null ? undefined : quoted(scopeId),
    };
  }

  async function raise(row: string): Promise<void> {
    const fence = readFence(row);
    if (fence !== undefined) await raiseFence(fence);
    await asked(() => client.zrem(names.fences, row));
  }

  return {
    async make(script, change, { keys, record }) {
      const args = [JSON.stringify(changeArguments(change)), JSON.stringify(record)];
      const reply = await run(script, [change.recordKey, ...commonKeys, ...keys], args);
      if (reply.outcome !== 'changed') return reply;
      // Those of earlier changes come first, since each carries budgets over from where the one before left them.
      for (const row of reply.fences) {
        try {
          await raise(row);
        } catch (cause) {
          if (change.fence?.isNew && change.scopeId?.startsWith('key:')) break;
          throw new FencePendingError({ cause });
        }
      }
      return reply;
    },

    async appendAudit(script, entry) {
      await run(script, [names.auditMark(entry.id), ...commonKeys], [JSON.stringify(auditArguments(entry))]);
    },

    async raisePending() {
      const rows = await asked(() => client.zrange(names.fences, '0', String(pendingAtOnce - 1)));
      const failing = new Set<string | undefined>();
      for (const row of rows) {
        const scope = scopeOf(row);
        if (!failing.has(scope)) await raise(row).catch(() => failing.add(scope));
      }
      return rows.filter((row) => !failing.has(scopeOf(row))).length;
    },
  };
}

function scopeOf(row: string): string | undefined {
  return row.split('\0', 1)[0];
}

/** `undefined` for a row that was edited into nonsense: it is removed. */
function readFence(row: string): Fence | undefined {
  const [, , revision, fence = ''] = row.split('\0');
  try {
    return { ...JSON.parse(fence), revision: Number(revision) };
  } catch {
    return undefined;
  }
}
