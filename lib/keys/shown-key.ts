import type { ShownSync } from './attached-mirror.ts';
import type { BudgetInput } from './key-input.ts';
import type { KeyStatus, Metadata, Permissions } from './virtual-key.ts';

/** Limits as shown: USD. */
export interface ShownLimits {
  readonly rpmLimit: number | null;
  readonly tpmLimit: number | null;
  readonly rpdLimit: number | null;
  readonly tpdLimit: number | null;
  readonly maxParallelRequests: number | null;
  readonly maxTokensPerRequest: number | null;
  readonly maxBudget: number | null;
  readonly softBudget: number | null;
  readonly budgetDuration: string | null;
  readonly budgets: readonly BudgetInput[];
  readonly modelRpmLimit: { readonly [model: string]: number };
  readonly modelTpmLimit: { readonly [model: string]: number };
  readonly modelMaxBudget: { readonly [model: string]: BudgetInput };
}

/** What a key was made with, and when it changed. Never the secret, never its hash. */
export interface KeySettings extends ShownLimits {
  readonly id: string;
  readonly name: string;
  readonly alias: string;
  /** First 8 characters … last 4 of the secret. */
  readonly prefix: string;
  readonly models: readonly string[];
  readonly endpoints: readonly string[] | null;
  readonly permissions: Permissions;
  readonly ownerId: string | null;
  readonly teamId: string | null;
  readonly rateLimitEnabled: boolean;
  readonly rateLimitPreset: string | null;
  readonly allowedIps: readonly string[] | null;
  readonly tags: readonly string[];
  readonly metadata: Metadata;
  readonly expiresAt: string | null;
  readonly revokedReason: string | null;
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly lastUsedAt: string | null;
}

/** A virtual key as shown to callers: USD and ISO 8601 times. */
export interface VirtualKey extends KeySettings {
  readonly status: KeyStatus;
  /** A budget of the key has nothing left: the next paid call is refused. */
  readonly budgetExceeded: boolean;
  /** USD in the current period, or of the whole life where there is none. */
  readonly spend: number;
  /** USD: limit − spent − held, at least 0; `null` without a budget. */
  readonly budgetRemaining: number | null;
  /** Percent; `null` without a budget. */
  readonly budgetUtilization: number | null;
  readonly budgetResetAt: string | null;
  /** The counters do not answer: `spend` is what the usage record says, without what is held. Absent: it is exact. */
  readonly spendIsApproximate?: true;
  /** How its twin in another system stands; `null` where no mirror is attached, or it has not heard of the key. */
  readonly sync: ShownSync | null;
}

export interface Policy extends ShownLimits {
  readonly models: readonly string[] | null;
  readonly endpoints: readonly string[] | null;
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}
