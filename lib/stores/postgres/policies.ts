import { isPolicyRecord } from '../../keys/record-check.ts';
import type { PolicyRecord } from '../../keys/virtual-key.ts';
import { noLimits, type ScopeId } from '../../limits/limit.ts';
import type { Records, StoredDefaults, StoreNotice } from '../store.ts';
import type { AuditLog } from './audit.ts';
import { nextRevision, type WriteChange } from './changes.ts';
import { isStorable } from './conditions.ts';
import type { PostgresConnection } from './connection.ts';
import { type InjectedClock, readNow } from './now.ts';
import { limitsOf, type Settings } from './settings.ts';

export interface PoliciesOptions {
  readonly connection: PostgresConnection;
  readonly clock: InjectedClock;
  readonly audit: AuditLog;
  readonly writeChange: WriteChange;
  readonly notify: (notice: StoreNotice) => void;
}

export type Policies = Pick<Records, 'findPolicy' | 'putPolicy' | 'findDefaults' | 'putDefaults'>;

/** What users, teams and everybody may use, and the defaults of new keys. */
export function createPolicies({ connection, clock, audit, writeChange, notify }: PoliciesOptions): Policies {
  const { query, transaction, schema } = connection;

  return {
    async findPolicy(scopeId) {
      if (!isStorable(scopeId)) return undefined;
      const [row] = await query<PolicyRow>(`select * from ${schema}.policies where scope_id = $1`, [scopeId]);
      if (row === undefined) return undefined;
      const policy = readPolicy(row);
      if (isPolicyRecord(policy)) return policy;
      notify({ type: 'corrupt', scopeId });
      return denying(row);
    },

    async putPolicy(scopeId, record, change) {
      const put = await transaction(async (within) => {
        const [current] = await within<PolicyRow>(
          `select * from ${schema}.policies where scope_id = $1 for no key update`,
          [scopeId],
        );
        const version = Number(current?.version ?? 0);
        if (version !== record.version - 1) return { outcome: 'version_conflict', version } as const;
        const nowMs = await readNow(within, clock);
        const revision = nextRevision(Number(current?.revision ?? 0), change, nowMs);
        const createdAtMs = Number(current?.created_at_ms ?? record.createdAtMs);
        const stored = { ...record, revision, createdAtMs };
        const { models, endpoints, updatedAtMs } = stored;
        const settings = JSON.stringify({ ...limitsOf(stored), endpoints });
        const values = [scopeId, models && [...models], settings, stored.version, revision, createdAtMs, updatedAtMs];
        await within(
          current === undefined
            ? `insert into ${schema}.policies (${policyColumns}) values ($1, $2, $3, $4, $5, $6, $7)`
            : `update ${schema}.policies set (${policyColumns}) = ($1, $2, $3, $4, $5, $6, $7) where scope_id = $1`,
          values,
        );
        await writeChange(within, { scopeId, revision, isNew: current === undefined }, change, nowMs);
        return { outcome: 'updated', record: stored } as const;
      });
      if (put.outcome === 'updated') notify({ type: 'changed', scopeId, revision: put.record.revision });
      return put;
    },

    async findDefaults() {
      const [row] = await query<DefaultsRow>(`select defaults, maximums, version from ${schema}.defaults`);
      return row && { ...row, version: Number(row.version) };
    },

    async putDefaults(record, change) {
      return transaction(async (within) => {
        const [current] = await within<DefaultsRow>(`select version from ${schema}.defaults for no key update`);
        const version = Number(current?.version ?? 0);
        if (version !== record.version - 1) return { outcome: 'version_conflict', version };
        await within(
          current === undefined
            ? `insert into ${schema}.defaults (defaults, maximums, version) values ($1, $2, $3)`
            : `update ${schema}.defaults set (defaults, maximums, version) = ($1, $2, $3)`,
          [JSON.stringify(record.defaults), JSON.stringify(record.maximums), record.version],
        );
        await audit.write(within, change.audit, await readNow(within, clock));
        return { outcome: 'updated', record };
      });
    },
  };
}

const policyColumns = 'scope_id, models, settings, version, revision, created_at_ms, updated_at_ms';

interface PolicyRow {
  readonly scope_id: ScopeId;
  readonly models: readonly string[] | null;
  readonly settings: Settings;
  readonly version: string;
  readonly revision: string;
  readonly created_at_ms: string;
  readonly updated_at_ms: string;
}

interface DefaultsRow extends Omit<StoredDefaults, 'version'> {
  readonly version: string;
}

function readPolicy(row: PolicyRow): { readonly [field in keyof PolicyRecord]: unknown } {
  return {
    ...limitsOf(row.settings),
    models: row.models,
    endpoints: row.settings?.endpoints,
    version: Number(row.version),
    revision: Number(row.revision),
    createdAtMs: Number(row.created_at_ms),
    updatedAtMs: Number(row.updated_at_ms),
  };
}

/** In place of a policy that cannot be read. To treat it as absent would let everything through. */
function denying(row: PolicyRow): PolicyRecord {
  return {
    ...noLimits,
    rpmLimit: 0,
    models: [],
    endpoints: [],
    version: Number(row.version),
    revision: Number(row.revision),
    createdAtMs: Number(row.created_at_ms),
    updatedAtMs: Number(row.updated_at_ms),
  };
}
