import { isKeyRecord } from '../../keys/record-check.ts';
import type { VirtualKeyRecord } from '../../keys/virtual-key.ts';
import { limitsOf, type Settings } from './settings.ts';

/** Whole numbers of 64 bits come as strings. */
type Bigint = string | number;

/** A row of `keys`, with the models of its rows in `key_models`. People edit rows by hand: settings may be anything. */
export interface KeyRow {
  readonly id: string;
  readonly name: string;
  readonly alias: string;
  readonly owner_id: string | null;
  readonly team_id: string | null;
  readonly prefix: string;
  readonly secret_hash: string;
  readonly previous_secret_hash: string | null;
  readonly previous_secret_ends_at_ms: Bigint | null;
  readonly models: readonly string[];
  readonly tags: readonly string[];
  readonly settings: Settings;
  readonly metadata: unknown;
  readonly expires_at_ms: Bigint | null;
  readonly disabled_at_ms: Bigint | null;
  readonly revoked_at_ms: Bigint | null;
  readonly revoked_reason: string | null;
  readonly version: Bigint;
  readonly revision: Bigint;
  readonly created_at_ms: Bigint;
  readonly updated_at_ms: Bigint;
  readonly last_used_at_ms: Bigint | null;
}

/** What `select` reads of `keys k` to have whole rows. */
export function keyColumns(schema: string): string {
  return `k.*, array(select m.model from ${schema}.key_models m where m.key_id = k.id order by m.position) as models`;
}

/** `undefined` for a row that is no key. */
export function readKey(row: KeyRow): VirtualKeyRecord | undefined {
  const record = {
    ...limitsOf(row.settings),
    id: row.id,
    name: row.name,
    alias: row.alias,
    ownerId: row.owner_id,
    teamId: row.team_id,
    secretHash: row.secret_hash,
    prefix: row.prefix,
    previousSecret:
      row.previous_secret_hash === null
        ? null
        : { secretHash: row.previous_secret_hash, endsAtMs: number(row.previous_secret_ends_at_ms) },
    models: row.models,
    endpoints: row.settings?.endpoints,
    permissions: row.settings?.permissions,
    rateLimitEnabled: row.settings?.rateLimitEnabled,
    rateLimitPreset: row.settings?.rateLimitPreset,
    allowedIps: row.settings?.allowedIps,
    tags: row.tags,
    metadata: row.metadata,
    expiresAtMs: number(row.expires_at_ms),
    disabledAtMs: number(row.disabled_at_ms),
    revokedAtMs: number(row.revoked_at_ms),
    revokedReason: row.revoked_reason,
    version: Number(row.version),
    revision: Number(row.revision),
    createdAtMs: Number(row.created_at_ms),
    updatedAtMs: Number(row.updated_at_ms),
    lastUsedAtMs: number(row.last_used_at_ms),
  };
  return isKeyRecord(record) ? record : undefined;
}

export const storedColumns = [
  'id',
  'name',
  'alias',
  'owner_id',
  'team_id',
  'prefix',
  'secret_hash',
  'previous_secret_hash',
  'previous_secret_ends_at_ms',
  'tags',
  'settings',
  'metadata',
  'search_text',
  'expires_at_ms',
  'disabled_at_ms',
  'revoked_at_ms',
  'revoked_reason',
  'version',
  'revision',
  'created_at_ms',
  'updated_at_ms',
] as const;

/** The values of {@link storedColumns}, in their order. */
export function storedValues(record: VirtualKeyRecord): readonly unknown[] {
  const { endpoints, permissions, rateLimitEnabled, rateLimitPreset, allowedIps } = record;
  return [
    record.id,
    record.name,
    record.alias,
    record.ownerId,
    record.teamId,
    record.prefix,
    record.secretHash,
    record.previousSecret?.secretHash ?? null,
    record.previousSecret?.endsAtMs ?? null,
    [...record.tags],
    JSON.stringify({
      ...limitsOf(record),
      endpoints,
      permissions,
      rateLimitEnabled,
      rateLimitPreset,
      allowedIps,
    }),
    JSON.stringify(record.metadata),
    // Postgres lowers letters by its locale, of which some know ASCII alone. Neither text has a line break.
    `${record.name}\n${record.alias}`.toLowerCase(),
    record.expiresAtMs,
    record.disabledAtMs,
    record.revokedAtMs,
    record.revokedReason,
    record.version,
    record.revision,
    record.createdAtMs,
    record.updatedAtMs,
  ];
}

function number(value: Bigint | null): number | null {
  return value === null ? null : Number(value);
}
