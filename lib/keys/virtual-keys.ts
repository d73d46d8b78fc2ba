import type { Scope, ScopeKind } from '../limits/limit.ts';
import type { Actor, AlertType, Hold, KeyCounts, SettleResult } from '../stores/store.ts';
import type { TokenUsage, UsageDimension } from '../usage/usage.ts';
import type { AdmitInput, AdmitResult, ExtendInput } from './direct-admissions.ts';
import type { KeyEventName, KeyEvents } from './events.ts';
import type { KeyHook } from './hooks.ts';
import type { KeyFields } from './key-fields.ts';
import type { DefaultsInput, KeyInput, KeyPatch, PolicyInput } from './key-input.ts';
import type { RotatedKey } from './pending-fence.ts';
import type { ShownAlert } from './shown-alert.ts';
import type { Policy, VirtualKey } from './shown-key.ts';
import type { UsageInput } from './usage-input.ts';
import type { KeyStatus } from './virtual-key.ts';
import type { WebhooksHealth } from './webhooks/webhooks.ts';

export interface KeyListFilter {
  /** Keys that list any of these strings. */
  readonly models?: readonly string[] | undefined;
  readonly status?: KeyStatus | undefined;
  readonly ownerId?: string | readonly string[] | undefined;
  readonly teamId?: string | readonly string[] | undefined;
  readonly tag?: string | undefined;
  readonly search?: string | undefined;
}

/** 20 by default, at most 100; by cursor or by page number from 1. */
export interface PageInput {
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
  readonly page?: number | undefined;
}

export interface List<T> {
  readonly items: readonly T[];
  readonly total: number;
  readonly nextCursor: string | null;
}

export interface UsageRequest {
  readonly keyId?: string | undefined;
  readonly ownerId?: string | readonly string[] | undefined;
  readonly teamId?: string | readonly string[] | undefined;
  readonly model?: string | undefined;
  /** ISO 8601, epoch milliseconds or a Date. */
  readonly from?: string | number | Date | undefined;
  readonly until?: string | number | Date | undefined;
  /** The last so many UTC days, today included; instead of `from`. */
  readonly days?: number | undefined;
  readonly groupBy?: readonly UsageDimension[] | undefined;
}

/** Rows about any of these keys, or about a target such as `team:red`, `global` or `defaults`. */
export interface AuditRequest {
  readonly keyId?: string | readonly string[] | undefined;
  readonly target?: string | undefined;
  /** Such as `key.rotated`. */
  readonly action?: string | undefined;
}

/** Alerts about any of these keys, or about a target such as `team:red` or `global`. */
export interface AlertRequest {
  readonly type?: AlertType | readonly AlertType[] | undefined;
  readonly keyId?: string | readonly string[] | undefined;
  readonly target?: string | undefined;
  readonly ownerId?: string | readonly string[] | undefined;
  readonly teamId?: string | readonly string[] | undefined;
}

/** Sums of usage; money in USD. */
export interface UsageSums extends TokenUsage {
  readonly requests: number;
  readonly totalTokens: number;
  readonly costUsd: number;
}

export interface UsageReport {
  readonly totals: UsageSums;
  /** One row a group, in the order of its values: `{ day, model, …sums }` for `groupBy: ['day', 'model']`. */
  readonly rows: readonly (UsageSums & { readonly [dimension in UsageDimension]?: string | null })[];
}

export interface ShownAuditRow {
  readonly id: string;
  readonly at: string;
  readonly actor: Actor;
  readonly action: string;
  readonly target: string;
  readonly before: unknown;
  readonly after: unknown;
  readonly reason: string | null;
}

export interface UpdateOptions {
  /** The change is made to this version, or not at all. */
  readonly ifVersion?: number | undefined;
  /**
   * Sees what the operator chose of the key as it is and as it would be, and throws to refuse: nothing is written then.
   * Runs once for each try, against the version that the change is made to.
   */
  readonly approve?: ((before: KeyFields, after: KeyFields) => void) | undefined;
}

export interface RotateOptions {
  /** How long the secret before stays good, in seconds, at most 30 days. @defaultValue 0 */
  readonly graceSeconds?: number | undefined;
  /** The change is made to this version, or not at all. */
  readonly ifVersion?: number | undefined;
}

export interface RevokeOptions {
  readonly reason?: string | undefined;
}

/** The service: issues keys, verifies them, and holds requests against their limits. */
export interface VirtualKeys {
  create(input: KeyInput, actor?: Actor): Promise<{ key: VirtualKey; secret: string }>;
  /** @throws KeyNotFoundError */
  get(id: string): Promise<VirtualKey>;
  list(filter?: KeyListFilter, page?: PageInput): Promise<List<VirtualKey>>;
  count(filter?: KeyListFilter): Promise<KeyCounts>;
  update(id: string, patch: KeyPatch, options?: UpdateOptions, actor?: Actor): Promise<VirtualKey>;
  /** @throws RotationPendingError, which has the key and its new secret, where the counters have yet to hear of it */
  rotate(id: string, options?: RotateOptions, actor?: Actor): Promise<RotatedKey>;
  disable(id: string, actor?: Actor): Promise<VirtualKey>;
  enable(id: string, actor?: Actor): Promise<VirtualKey>;
  revoke(id: string, options?: RevokeOptions, actor?: Actor): Promise<VirtualKey>;
  /**
   * Puts a key in force as it is stored, over what the ledger knows of a later record: after a backup was restored, keys that
   * were changed since admit nothing before somebody has looked at them.
   */
  repair(id: string, actor?: Actor): Promise<VirtualKey>;
  /** Removes the key; its usage and audit rows stay. */
  delete(id: string, actor?: Actor): Promise<void>;
  /** Removes every expired key; answers how many. */
  deleteExpired(actor?: Actor): Promise<number>;
  resetSpend(id: string, actor?: Actor): Promise<VirtualKey>;
  verify(
    secret: string,
  ): Promise<
    | { valid: true; key: VirtualKey }
    | { valid: false; reason: 'unknown' | 'malformed' | 'revoked' | 'disabled' | 'expired' }
  >;
  setPolicy(scope: Exclude<Scope, { key: string }>, policy: PolicyInput, actor?: Actor): Promise<Policy>;
  getPolicy(scope: Exclude<Scope, { key: string }>): Promise<Policy | undefined>;
  /** What an operator stored over the options of {@link createVirtualKeys}, and what is in force. */
  getDefaults(): Promise<{ defaults: object; maximums: object; version: number }>;
  setDefaults(input: DefaultsInput, actor?: Actor): Promise<{ defaults: object; maximums: object; version: number }>;
  usage(request: UsageRequest): Promise<UsageReport>;
  audit(
    query?: {
      keyId?: string | readonly string[] | undefined;
      target?: string | undefined;
      action?: string | undefined;
    },
    page?: PageInput,
  ): Promise<List<ShownAuditRow>>;
  /** Budgets that reached a threshold, holds that were abandoned or lost, calls without a price; newest first. */
  alerts(query?: AlertRequest, page?: PageInput): Promise<List<ShownAlert>>;
  balance(id: string): Promise<Balance>;
  /** Holds a call against every limit over its key; see {@link AdmitInput}. An unknown or closed key is a value. */
  admit(input: AdmitInput): Promise<AdmitResult>;
  /** A further call under an open hold: it counts a request and takes no further slot. */
  extend(hold: Hold, input: ExtendInput): Promise<AdmitResult>;
  /** Charges what the call of this hold consumed, exactly once. */
  settle(hold: Hold, usage: UsageInput): Promise<{ state: SettleResult['state']; costUsd: number }>;
  /** Ends a call that consumed nothing. */
  cancel(hold: Hold): Promise<void>;
  /** Keeps a hold for another lease; `ended`: its lease was over, and the call settles late. */
  renew(hold: Hold): Promise<{ state: 'renewed' | 'ended' }>;
  /** Adds usage that was measured elsewhere, once for each id. */
  recordUsage(input: ExternalUsage): Promise<{ state: 'recorded' | 'already'; costUsd: number }>;
  health(): Promise<Health>;
  /** The function returned takes the listener off. */
  on<N extends KeyEventName>(event: N, listener: (event: KeyEvents[N]) => void): () => void;
  /** Takes part in changes of keys, before and after they are stored. The function returned ends it. */
  addHook(hook: KeyHook): () => void;
  /** Waits for settlements, cancellations and webhooks already begun, never for open holds; then leaves the store. */
  close(options?: { timeoutMs?: number | undefined }): Promise<void>;
}

/** Usage that was measured elsewhere. */
export interface ExternalUsage extends UsageInput {
  /** Unique: the same id again changes nothing. */
  readonly id: string;
  readonly keyId: string;
  /** When it happened; absent: now. ISO 8601, epoch milliseconds or a Date. */
  readonly at?: string | number | Date | undefined;
}

export interface Health {
  readonly store: { readonly name: string; readonly state: 'up' | 'down' };
  /** Where there are any. */
  readonly webhooks?: WebhooksHealth;
}

/** What a key has used and has left, by the store's clock; money in USD. */
export interface Balance {
  readonly keyId: string;
  readonly spend: number;
  readonly held: number;
  readonly budgetRemaining: number | null;
  readonly budgetUtilization: number | null;
  readonly budgetResetAt: string | null;
  readonly openRequests: number;
  readonly limits: readonly {
    readonly scope: ScopeKind;
    /** `rpm`, `tpm`, `rpd`, `tpd`, `parallel`, `monthly_budget`, `model_rpm` … */
    readonly name: string;
    readonly model: string | null;
    readonly limit: number;
    readonly used: number;
    readonly remaining: number;
    readonly resetAt: string | null;
  }[];
}
