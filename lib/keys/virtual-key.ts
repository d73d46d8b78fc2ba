import type { Limits } from '../limits/limit.ts';
import type { RateLimitPreset } from '../limits/presets.ts';

/** Which kinds of call a key may make. Endpoints outside these three are ruled by `endpoints`. */
export interface Permissions {
  readonly allowChatCompletions: boolean;
  readonly allowEmbeddings: boolean;
  readonly allowCompletions: boolean;
}

/** A JSON value that an operator attaches to a key; this package stores and shows it, and never reads it. */
export type Metadata = { readonly [name: string]: unknown };

/**
 * A virtual key as stored. `version` counts every change; `revision` rises only with changes that matter for admission,
 * and fences requests judged under an older one.
 */
export interface VirtualKeyRecord extends Limits {
  readonly id: string;
  /** The display name, unchanged as given. */
  readonly name: string;
  /** Unique: the sanitised name and 8 hex digits. */
  readonly alias: string;
  readonly ownerId: string | null;
  readonly teamId: string | null;
  /** What the secret hashes to; see `keys/secret.ts` for the shape. */
  readonly secretHash: string;
  /** First 8 characters … last 4. */
  readonly prefix: string;
  /** The secret before the last rotation, while its grace lasts. */
  readonly previousSecret: { readonly secretHash: string; readonly endsAtMs: number } | null;
  /** Exact names, `prefix*` or `*`. Empty: no model. */
  readonly models: readonly string[];
  /** Path patterns, exact or `prefix*`; `null`: all that the permissions allow. */
  readonly endpoints: readonly string[] | null;
  readonly permissions: Permissions;
  /** `false`: requests, tokens and concurrency are counted and never refused. Money always holds. */
  readonly rateLimitEnabled: boolean;
  /** The preset that its limits were filled from. */
  readonly rateLimitPreset: RateLimitPreset | null;
  /** Addresses and networks (CIDR) that may use the key; `null`: all. */
  readonly allowedIps: readonly string[] | null;
  readonly tags: readonly string[];
  readonly metadata: Metadata;
  readonly expiresAtMs: number | null;
  readonly disabledAtMs: number | null;
  readonly revokedAtMs: number | null;
  readonly revokedReason: string | null;
  readonly version: number;
  readonly revision: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly lastUsedAtMs: number | null;
}

/** The statuses are a partition: revoked before disabled before expired before active. */
export type KeyStatus = 'active' | 'disabled' | 'expired' | 'revoked';

export const keyStatuses: readonly KeyStatus[] = ['active', 'disabled', 'expired', 'revoked'];

/** A key is expired from exactly `expiresAtMs` on. */
export function keyStatus(
  key: Pick<VirtualKeyRecord, 'revokedAtMs' | 'disabledAtMs' | 'expiresAtMs'>,
  nowMs: number,
): KeyStatus {
  if (key.revokedAtMs !== null) return 'revoked';
  if (key.disabledAtMs !== null) return 'disabled';
  if (key.expiresAtMs !== null && nowMs >= key.expiresAtMs) return 'expired';
  return 'active';
}

/** What a user, a team, or everybody may use: it narrows the keys under it, and never widens one. */
export interface PolicyRecord extends Limits {
  /** `null`: does not narrow. Empty: no model. */
  readonly models: readonly string[] | null;
  readonly endpoints: readonly string[] | null;
  readonly version: number;
  readonly revision: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}
