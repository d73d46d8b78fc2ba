import { keyStatus, type VirtualKeyRecord } from '../../keys/virtual-key.ts';
import type { ScopeId } from '../../limits/limit.ts';
import type { Records, StoreNotice } from '../store.ts';
import { nextRevision, type WriteChange } from './changes.ts';
import { isStorable } from './conditions.ts';
import type { PostgresConnection, Query } from './connection.ts';
import { type KeyRow, keyColumns, readKey, storedColumns, storedValues } from './key-row.ts';
import { activeSql } from './key-status.ts';
import { type InjectedClock, nowSql } from './now.ts';

export interface KeysOptions {
  readonly connection: PostgresConnection;
  readonly clock: InjectedClock;
  readonly writeChange: WriteChange;
  readonly notify: (notice: StoreNotice) => void;
}

export type Keys = Pick<Records, 'insertKey' | 'updateKey' | 'deleteKey' | 'findKey' | 'findKeyByHash' | 'touchKey'>;

/** Keys one by one. A change locks first the owner, then the key, and its scope in the ledger last. */
export function createKeys({ connection, clock, writeChange, notify }: KeysOptions): Keys {
  const { query, transaction, schema } = connection;

  function told(scopeId: ScopeId, revision: number): void {
    notify({ type: 'changed', scopeId, revision });
  }

  /** Of all who would give the owner one more key, one at a time looks how many there are. */
  async function lockOwner(within: Query, ownerId: string | null, maxActive: number | null): Promise<void> {
    if (ownerId === null || maxActive === null) return;
    await within('select pg_advisory_xact_lock(hashtextextended($1, 1))', [`${schema} ${ownerId}`]);
  }

  /** What stands in the way of the record, and the time, now that all locks are taken. */
  async function findStanding(within: Query, record: VirtualKeyRecord): Promise<Standing> {
    const [row] = await within<StandingRow>(
      `select ${nowSql(1)} as now_ms,
  exists(select from ${schema}.keys where id = $2) as has_id,
  exists(select from ${schema}.keys where alias = $3 and id <> $2) as has_alias,
  exists(select from ${schema}.keys where (secret_hash = any($4) or previous_secret_hash = any($4)) and id <> $2) as has_secret,
  (select count(*) from ${schema}.keys where owner_id = $5 and id <> $2 and ${activeSql(nowSql(1))}) as active`,
      [clock()?.() ?? null, record.id, record.alias, hashesOf(record), record.ownerId],
    );
    return {
      nowMs: Number(row?.now_ms),
      hasId: row?.has_id === true,
      hasAlias: row?.has_alias === true,
      hasSecret: row?.has_secret === true,
      active: Number(row?.active),
    };
  }

  async function writeModels(within: Query, { id, models }: VirtualKeyRecord): Promise<void> {
    await within(
      `insert into ${schema}.key_models (key_id, position, model)
select $1, position, model from unnest($2::text[]) with ordinality as listed (model, position)`,
      [id, [...models]],
    );
  }

  async function findCurrent(within: Query, id: string): Promise<CurrentKey | undefined> {
    const [row] = await within<KeyRow>(
      `select ${keyColumns(schema)} from ${schema}.keys k where k.id = $1 for no key update of k`,
      [id],
    );
    if (row === undefined) return undefined;
    return {
      ownerId: row.owner_id,
      models: row.models,
      version: Number(row.version),
      revision: Number(row.revision),
      createdAtMs: Number(row.created_at_ms),
      isActive: (nowMs) =>
        row.revoked_at_ms === null &&
        row.disabled_at_ms === null &&
        (row.expires_at_ms === null || Number(row.expires_at_ms) > nowMs),
    };
  }

  function readOrTell(row: KeyRow | undefined): VirtualKeyRecord | undefined {
    if (row === undefined) return undefined;
    const record = readKey(row);
    if (record === undefined) notify({ type: 'corrupt', scopeId: `key:${row.id}` });
    return record;
  }

  return {
    async insertKey(record, change, { maxActive }) {
      const inserted = await transaction(async (within) => {
        await lockOwner(within, record.ownerId, maxActive);
        const { nowMs, hasId, hasAlias, hasSecret, active } = await findStanding(within, record);
        if (hasId) return { outcome: 'id_taken' } as const;
        if (hasAlias) return { outcome: 'alias_taken' } as const;
        if (hasSecret) return { outcome: 'secret_taken' } as const;
        if (passesLimit(record, nowMs, active, maxActive)) return { outcome: 'owner_limit' } as const;
        const stored = { ...record, revision: nextRevision(0, change, nowMs) };
        await within(
          `insert into ${schema}.keys (${storedColumns.join(', ')}, last_used_at_ms)
values (${[...storedColumns, 'last_used_at_ms'].map((_, index) => `$${index + 1}`).join(', ')})`,
          [...storedValues(stored), stored.lastUsedAtMs],
        );
        await writeModels(within, stored);
        const scope = { scopeId: `key:${stored.id}`, revision: stored.revision, isNew: true } as const;
        await writeChange(within, scope, change, nowMs);
        return { outcome: 'inserted', record: stored } as const;
      });
      if (inserted.outcome === 'inserted') told(`key:${record.id}`, inserted.record.revision);
      return inserted;
    },

    async updateKey(record, change, { maxActive }) {
      const updated = await transaction(async (within) => {
        await lockOwner(within, record.ownerId, maxActive);
        const current = await findCurrent(within, record.id);
        if (current === undefined) return { outcome: 'not_found' } as const;
        const { version } = current;
        if (version !== record.version - 1) return { outcome: 'version_conflict', version } as const;
        const { nowMs, hasAlias, active } = await findStanding(within, record);
        if (hasAlias) return { outcome: 'alias_taken' } as const;
        const wasCounted = current.isActive(nowMs) && current.ownerId === record.ownerId;
        if (!wasCounted && passesLimit(record, nowMs, active, maxActive)) return { outcome: 'owner_limit' } as const;
        const revision = nextRevision(current.revision, change, nowMs);
        const stored = { ...record, revision, createdAtMs: current.createdAtMs };
        const [row] = await within<{ last_used_at_ms: string | null }>(
          `update ${schema}.keys set ${storedColumns.map((column, index) => `${column} = $${index + 1}`).join(', ')}
where id = $1 returning last_used_at_ms`,
          storedValues(stored),
        );
        if (!areEqual(current.models, stored.models)) {
          await within(`delete from ${schema}.key_models where key_id = $1`, [stored.id]);
          await writeModels(within, stored);
        }
        await writeChange(within, { scopeId: `key:${stored.id}`, revision }, change, nowMs);
        const lastUsedAtMs = row?.last_used_at_ms == null ? null : Number(row.last_used_at_ms);
        return { outcome: 'updated', record: { ...stored, lastUsedAtMs } } as const;
      });
      if (updated.outcome === 'updated') told(`key:${record.id}`, updated.record.revision);
      return updated;
    },

    async deleteKey(id, version, change) {
      if (!isStorable(id)) return { outcome: 'not_found' };
      const deleted = await transaction(async (within) => {
        const current = await findCurrent(within, id);
        if (current === undefined) return { outcome: 'not_found' } as const;
        if (current.version !== version) return { outcome: 'version_conflict', version: current.version } as const;
        await within(`delete from ${schema}.keys where id = $1`, [id]);
        const [time] = await within<{ now_ms: string }>(`select ${nowSql(1)} as now_ms`, [clock()?.() ?? null]);
        const nowMs = Number(time?.now_ms);
        const revision = nextRevision(current.revision, change, nowMs);
        await writeChange(within, { scopeId: `key:${id}`, revision, isClosed: true }, change, nowMs);
        return { outcome: 'updated', record: null, revision } as const;
      });
      if (deleted.outcome !== 'updated') return deleted;
      told(`key:${id}`, deleted.revision);
      return { outcome: 'updated', record: null };
    },

    async findKey(id) {
      if (!isStorable(id)) return undefined;
      const [row] = await query<KeyRow>(`select ${keyColumns(schema)} from ${schema}.keys k where k.id = $1`, [id]);
      return readOrTell(row);
    },

    async findKeyByHash(secretHashes) {
      const hashes = secretHashes.filter(isStorable);
      const rows = await query<KeyRow>(
        `select ${keyColumns(schema)} from ${schema}.keys k
where k.secret_hash = any($1::text[]) or k.previous_secret_hash = any($1::text[])`,
        [hashes],
      );
      // Of several the one that the first of the hashes finds.
      const found = hashes.flatMap((hash) => rows.find((row) => isHashOf(hash, row)) ?? []);
      return readOrTell(found[0]);
    },

    async touchKey(id, lastUsedAtMs) {
      if (!isStorable(id)) return;
      await query(
        `update ${schema}.keys set last_used_at_ms = $2 where id = $1 and coalesce(last_used_at_ms, 0) < $2`,
        [id, lastUsedAtMs],
      );
    },
  };
}

interface Standing {
  readonly nowMs: number;
  readonly hasId: boolean;
  readonly hasAlias: boolean;
  readonly hasSecret: boolean;
  /** Other keys of the owner that are active. */
  readonly active: number;
}

interface StandingRow {
  readonly now_ms: string;
  readonly has_id: boolean;
  readonly has_alias: boolean;
  readonly has_secret: boolean;
  readonly active: string;
}

interface CurrentKey extends Pick<VirtualKeyRecord, 'ownerId' | 'models' | 'version' | 'revision' | 'createdAtMs'> {
  isActive(nowMs: number): boolean;
}

function passesLimit(record: VirtualKeyRecord, nowMs: number, active: number, maxActive: number | null): boolean {
  if (maxActive === null || record.ownerId === null) return false;
  return keyStatus(record, nowMs) === 'active' && active >= maxActive;
}

function hashesOf({ secretHash, previousSecret }: VirtualKeyRecord): readonly string[] {
  return previousSecret === null ? [secretHash] : [secretHash, previousSecret.secretHash];
}

function isHashOf(hash: string, row: KeyRow): boolean {
  return row.secret_hash === hash || row.previous_secret_hash === hash;
}

function areEqual(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, index) => text === b[index]);
}
