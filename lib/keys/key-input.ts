import type { Metadata, Permissions } from './virtual-key.ts';

/** A budget as given and shown: USD per period. */
export interface BudgetInput {
  readonly maxBudget: number;
  /** `hourly | daily | weekly | monthly | yearly | total`, or a length such as `12h`, `30d`, `1mo`. */
  readonly budgetDuration: string;
}

/** The limit fields that keys and policies share, as given: USD, `null` or absent for unlimited, `0` to block. */
export interface LimitsInput {
  /** Requests in any 60 seconds. */
  readonly rpmLimit?: number | null | undefined;
  /** Tokens in any 60 seconds. */
  readonly tpmLimit?: number | null | undefined;
  /** Requests in any 24 hours. */
  readonly rpdLimit?: number | null | undefined;
  /** Tokens in any 24 hours. */
  readonly tpdLimit?: number | null | undefined;
  readonly maxParallelRequests?: number | null | undefined;
  readonly maxTokensPerRequest?: number | null | undefined;
  /** USD per `budgetDuration`; without one, for the whole life. */
  readonly maxBudget?: number | null | undefined;
  /** USD; passing it warns and refuses nothing. */
  readonly softBudget?: number | null | undefined;
  readonly budgetDuration?: string | null | undefined;
  readonly budgets?: readonly BudgetInput[] | null | undefined;
  readonly modelRpmLimit?: { readonly [model: string]: number } | null | undefined;
  readonly modelTpmLimit?: { readonly [model: string]: number } | null | undefined;
  readonly modelMaxBudget?: { readonly [model: string]: number | BudgetInput } | null | undefined;
}

interface KeyFields extends LimitsInput {
  readonly endpoints?: readonly string[] | null | undefined;
  readonly permissions?: Partial<Permissions> | null | undefined;
  readonly ownerId?: string | null | undefined;
  readonly teamId?: string | null | undefined;
  /** ISO 8601, epoch milliseconds or a Date; in the future. */
  readonly expiresAt?: string | number | Date | null | undefined;
  readonly expiresInDays?: number | undefined;
  readonly rateLimitEnabled?: boolean | undefined;
  /** Fills requests, tokens and concurrency that the input does not name itself. */
  readonly rateLimitPreset?: 'standard' | 'premium' | null | undefined;
  /** Addresses and networks such as `192.0.2.7` and `2001:db8::/32`; `[]` is none. */
  readonly allowedIps?: readonly string[] | null | undefined;
  readonly tags?: readonly string[] | null | undefined;
  readonly metadata?: Metadata | null | undefined;
}

/** What a new key is made of. `models` (or its alias `modelIds`) is required; `[]` is no model. */
export interface KeyInput extends KeyFields {
  readonly name: string;
  readonly models?: readonly string[] | undefined;
  readonly modelIds?: readonly string[] | undefined;
}

/** A change of a key: omitted fields stay, `null` clears. */
export interface KeyPatch extends KeyFields {
  readonly name?: string | undefined;
  readonly models?: readonly string[] | undefined;
  readonly modelIds?: readonly string[] | undefined;
}

/** What a user, a team or everybody may use; replaces the policy before it. Absent `models` do not narrow. */
export interface PolicyInput extends LimitsInput {
  readonly models?: readonly string[] | null | undefined;
  readonly endpoints?: readonly string[] | null | undefined;
}

/** Defaults fill what a new key leaves out; maximums are the most it may have. Expiry is `expiresInDays`. */
export interface DefaultsInput {
  readonly defaults?: { readonly [field: string]: unknown } | undefined;
  readonly maximums?: { readonly [field: string]: unknown } | undefined;
}

// These two are aliases, not interfaces, so that they are also plain maps from field to value, as they are stored.
/** What a new key gets where its input says nothing. */
export type KeyDefaults = Pick<LimitsInput, keyof LimitsInput> & {
  readonly endpoints?: readonly string[] | null | undefined;
  readonly permissions?: Partial<Permissions> | null | undefined;
  readonly rateLimitEnabled?: boolean | undefined;
  readonly rateLimitPreset?: 'standard' | 'premium' | null | undefined;
  readonly allowedIps?: readonly string[] | null | undefined;
  readonly expiresInDays?: number | undefined;
};

/** The most a key may have; under a maximum nothing is unlimited. */
export type KeyMaximums = {
  readonly rpmLimit?: number | undefined;
  readonly tpmLimit?: number | undefined;
  readonly rpdLimit?: number | undefined;
  readonly tpdLimit?: number | undefined;
  readonly maxParallelRequests?: number | undefined;
  readonly maxTokensPerRequest?: number | undefined;
  /** USD. */
  readonly maxBudget?: number | undefined;
  readonly expiresInDays?: number | undefined;
};

/** Defaults and maximums after their check. */
export interface Quotas {
  readonly defaults: KeyDefaults;
  readonly maximums: KeyMaximums;
}
