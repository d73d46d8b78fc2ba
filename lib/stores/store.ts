/**
 * The contract of a store, in two roles: {@link Records} keeps keys, policies and their history; {@link Ledger} keeps
 * counters, holds and usage. A full store plays both; `express-llm-keys/testing` has the cases that every one must pass.
 *
 * Refusals and conflicts are values. A store throws only when it cannot answer: `StoreUnavailableError`, with `cause`.
 */
import type { KeyStatus, PolicyRecord, VirtualKeyRecord } from '../keys/virtual-key.ts';
import type { AdmissionPlan, Amounts, BudgetCarry, Clamp, ScopeId, Take } from '../limits/limit.ts';

import type { TokenUsage, UsageEvent, UsageQuery, UsageRow, UsageSource, UsageSubject } from '../usage/usage.ts';

export type { Amounts, BudgetCarry, Clamp };

/** Milliseconds since the epoch. */
export type Clock = () => number;

/** Where a store and the service write what an operator should see. `console` and pino fit. */
export interface Logger {
  warn(message: string): void;
  error(message: string): void;
}

/** What a store tells those who opened it. Hints only: nothing depends on their arrival. */
export type StoreNotice =
  /** A record changed, here or in another process. */
  | { readonly type: 'changed'; readonly scopeId: ScopeId; readonly revision: number }
  /** Changes of other processes were not heard of for a while: any record may have changed. */
  | { readonly type: 'missed' }
  /** The lease of a hold ran out; told once for each call that was open under it. */
  | { readonly type: 'abandoned'; readonly event: UsageEvent; readonly charged: readonly ChargedBudget[] }
  /** A record could not be read. It was treated as absent: it denies. */
  | { readonly type: 'corrupt'; readonly scopeId: ScopeId }
  /** The store's clock stepped back by more than a window, which started again. */
  | { readonly type: 'clock_jump'; readonly scopeId: ScopeId; readonly limitId: string }
  /**
   * Usage has not reached the archive of a combined store since this moment of the process's own time, and about so many
   * events wait; 0: nobody knows.
   */
  | { readonly type: 'usage_behind'; readonly sinceMs: number; readonly backlog: number };

export interface StoreEnvironment {
  /** Replaces the store's own clock, in tests. */
  readonly clock?: Clock | undefined;
  readonly logger: Logger;
  readonly onNotice: (notice: StoreNotice) => void;
}

// ---------------------------------------------------------------------------------------------------------- records

/** Who changed something. */
export interface Actor {
  readonly id: string;
  readonly role?: string | undefined;
  readonly ip?: string | undefined;
  readonly userAgent?: string | undefined;
}

/** What the audit log keeps of a change. Neither side ever holds a secret or a hash. */
export interface AuditEntry {
  readonly id: string;
  readonly actor: Actor;
  /** Such as `key.updated`, `policy.updated`, `defaults.updated`. */
  readonly action: string;
  /** `key:<id>`, `user:<id>`, `team:<id>`, `global` or `defaults`. */
  readonly target: string;
  readonly before: unknown;
  readonly after: unknown;
  readonly reason: string | null;
}

export interface AuditRow extends AuditEntry {
  /** By the store's clock. */
  readonly atMs: number;
}

/** What goes along with a change of a record, in the same atomic act. */
export interface Change {
  readonly audit: AuditEntry;
  /** Marks the key for a mirror: one row a key, with the latest revision. */
  readonly outbox: boolean;
  /**
   * Whether the change matters for admission. Then the store gives the record the revision `max(old + 1, now × 1000)`
   * and fences its scope with it: requests judged under an older one are answered `stale`.
   */
  readonly fence: boolean;
  /** `other`: the counters are another store's, which is yet to hear of the fence: a row of it is left, in the same act. */
  readonly ledger?: 'other' | undefined;
  readonly carries: readonly BudgetCarry[];
}

export type InsertOutcome =
  | { readonly outcome: 'inserted'; readonly record: VirtualKeyRecord }
  | { readonly outcome: 'alias_taken' | 'secret_taken' | 'id_taken' }
  | { readonly outcome: 'owner_limit' };

export type UpdateOutcome<R> =
  | { readonly outcome: 'updated'; readonly record: R }
  | { readonly outcome: 'version_conflict'; readonly version: number }
  | { readonly outcome: 'not_found' | 'alias_taken' | 'owner_limit' };

export interface KeyFilter {
  /** Keys that list any of these strings. */
  readonly models?: readonly string[] | undefined;
  readonly status?: KeyStatus | undefined;
  readonly ownerIds?: readonly string[] | undefined;
  readonly teamIds?: readonly string[] | undefined;
  readonly tag?: string | undefined;
  /** Part of the name or alias, in any case. */
  readonly search?: string | undefined;
}

/** A part of a list: after a cursor that an earlier page gave, or by number from 1. */
export type Page =
  | { readonly limit: number; readonly cursor?: string | undefined }
  | { readonly limit: number; readonly page: number };

export interface Listed<T> {
  readonly items: readonly T[];
  /** Of all that match, not of this page. */
  readonly total: number;
  readonly nextCursor: string | null;
}

export type KeyCounts = { readonly [status in KeyStatus]: number } & { readonly total: number };

export interface AuditQuery {
  /** Any of these targets; absent: all. */
  readonly targets?: readonly string[] | undefined;
  readonly action?: string | undefined;
}

export interface OutboxRow {
  /** Another one each time the row is written. */
  readonly id: string;
  readonly keyId: string;
  readonly revision: number;
  readonly atMs: number;
}

/** A row of the outbox that one worker has to itself until its lease ends. */
export interface ClaimedRow extends OutboxRow {
  /** Another one for each claim. */
  readonly leaseId: string;
  /** How often the row was claimed since it was written, this time included. */
  readonly attempts: number;
  /** The lease before this one ended without a word of its worker, who may still be at work. */
  readonly isTakenOver: boolean;
}

/** How many rows of the outbox may be claimed, are claimed, and come due later. */
export interface OutboxBacklog {
  readonly due: number;
  readonly claimed: number;
  readonly later: number;
}

/** How a key stands with its twin in another system. */
export type TwinState = 'pending' | 'synced' | 'error' | 'orphaned';

/** What a mirror knows of a key's twin elsewhere. It outlives the key, for as long as the mirror needs it. */
export interface TwinRow {
  readonly keyId: string;
  readonly state: TwinState;
  /** JSON of the mirror's own, which nobody else reads. It may hold hashes, and is never shown. */
  readonly details: { readonly [name: string]: unknown };
  /** From 1; the next one is part of the atomic act. */
  readonly version: number;
}

/** Defaults and maximums for new keys, as an operator stored them: names and values of key input. */
export interface StoredDefaults {
  readonly defaults: { readonly [field: string]: unknown };
  readonly maximums: { readonly [field: string]: unknown };
  readonly version: number;
}

/** What an alert is about. The events of the same names tell of it. */
export type AlertType = 'budget.warning' | 'budget.exceeded' | 'hold.abandoned' | 'hold.lost' | 'usage.unpriced';

/** How a budget stood when it reached a threshold. */
export interface AlertedBudget {
  /** As refusals name it: `monthly_budget`, `model_budget`, … */
  readonly name: string;
  /** `null`: it has a soft budget alone. */
  readonly limitNanoUsd: number | null;
  readonly thresholdNanoUsd: number;
  /** What part of the limit the threshold is; `null`: it is the soft budget. */
  readonly percent: number | null;
  readonly spentNanoUsd: number;
  /** `null`: never. */
  readonly resetAtMs: number | null;
}

/** Something that an operator should know of, told once. */
export interface Alert {
  /** Of the things that make it one: whoever tells of the same again, in whatever process, gives the same id. */
  readonly id: string;
  readonly type: AlertType;
  /** Where it is: the scope of the budget, else the key. */
  readonly scopeId: ScopeId;
  /** Of the scope, for lists that show the alerts of an owner or a team. */
  readonly ownerId: string | null;
  readonly teamId: string | null;
  /** The key whose call brought it about. */
  readonly keyId: string;
  /** The model of the call, or the pattern of the budget. */
  readonly model: string | null;
  /** `null`: it is about no budget. */
  readonly budget: AlertedBudget | null;
}

export interface AlertRow extends Alert {
  /** By the store's clock. */
  readonly atMs: number;
}

export interface AlertQuery {
  /** Any of these; absent: all. So with the others. */
  readonly types?: readonly AlertType[] | undefined;
  readonly scopeIds?: readonly ScopeId[] | undefined;
  readonly ownerIds?: readonly string[] | undefined;
  readonly teamIds?: readonly string[] | undefined;
}

/** What the next change is made to: the expected version is part of the atomic act. */
export interface Records {
  /**
   * Stores a new key. `maxActive` is checked against the owner's active keys in the same act. It resolves also where the
   * counters have yet to hear of the key: they admit nothing under it until then, and its caller has its only secret.
   */
  insertKey(record: VirtualKeyRecord, change: Change, options: { maxActive: number | null }): Promise<InsertOutcome>;
  /**
   * Replaces a key whose version is still `record.version - 1`. `lastUsedAtMs` and usage are kept beside the version and
   * are never set back. `maxActive` is checked when the change makes a key active, or moves an active one to the owner.
   */
  updateKey(
    record: VirtualKeyRecord,
    change: Change,
    options: { maxActive: number | null },
  ): Promise<UpdateOutcome<VirtualKeyRecord>>;
  /** Removes a key of this version. Its scope denies from now on; its counters stay until its holds have ended. */
  deleteKey(id: string, version: number, change: Change): Promise<UpdateOutcome<null>>;
  findKey(id: string): Promise<VirtualKeyRecord | undefined>;
  /** The key whose secret, or whose secret before the last rotation, has one of these hashes. */
  findKeyByHash(secretHashes: readonly string[]): Promise<VirtualKeyRecord | undefined>;
  /** Newest first, stable under equal times: by creation, then id. */
  listKeys(filter: KeyFilter, page: Page): Promise<Listed<VirtualKeyRecord>>;
  countKeys(filter: KeyFilter): Promise<KeyCounts>;
  /** Moves `lastUsedAtMs` forward; the version stays. */
  touchKey(id: string, lastUsedAtMs: number): Promise<void>;

  findPolicy(scopeId: ScopeId): Promise<PolicyRecord | undefined>;
  /** Inserts (version 1) or replaces (expected version + 1). */
  putPolicy(scopeId: ScopeId, record: PolicyRecord, change: Change): Promise<UpdateOutcome<PolicyRecord>>;
  findDefaults(): Promise<StoredDefaults | undefined>;
  putDefaults(defaults: StoredDefaults, change: Change): Promise<UpdateOutcome<StoredDefaults>>;

  /** Adds a row that belongs to no change of a record, once for its id. */
  appendAudit(entry: AuditEntry): Promise<void>;
  /** Newest first. */
  listAudit(query: AuditQuery, page: Page): Promise<Listed<AuditRow>>;

  /** Keeps the row unless one of this id is there: of many who insert it, one is told that it is new. */
  insertAlert(
    alert: Alert,
  ): Promise<{ readonly outcome: 'inserted'; readonly row: AlertRow } | { readonly outcome: 'exists' }>;
  /** Newest first, stable under equal times: by time, then id. */
  listAlerts(query: AlertQuery, page: Page): Promise<Listed<AlertRow>>;

  /** In the order in which they may be claimed, whoever has them now. */
  readOutbox(limit: number): Promise<readonly OutboxRow[]>;
  /**
   * Removes rows that were not written anew since they were read: a renamed key has another row, and its old revision. Of
   * a claimed row its lease ends in any case; a row whose lease is somebody else's by now stays as it is.
   */
  clearOutbox(rows: readonly (OutboxRow | ClaimedRow)[]): Promise<void>;
  /**
   * Writes rows that belong to no change, due after `delayMs`. A row that waits already is due no later than before; one
   * that is claimed stays with its worker, and is due then when he ends.
   */
  enqueueOutbox(keyIds: readonly string[], delayMs: number): Promise<void>;
  /**
   * Claims rows that are due and that nobody has, those first that could be claimed for longest. A change makes its row
   * due at once, and so does the end of a lease. While a lease lasts, nobody else is given the row, also when it is
   * written anew. `keyIds`: only of these keys.
   */
  claimOutbox(limit: number, leaseMs: number, keyIds?: readonly string[] | undefined): Promise<readonly ClaimedRow[]>;
  /** Ends the lease of a claimed row, which is due again after `delayMs`, or at once where it was written anew. */
  deferOutbox(row: ClaimedRow, delayMs: number): Promise<void>;
  outboxBacklog(): Promise<OutboxBacklog>;

  /** The rows that there are of these keys, in no order. */
  findTwins(keyIds: readonly string[]): Promise<readonly TwinRow[]>;
  /** Inserts (version 1) or replaces (expected version + 1). */
  putTwin(row: TwinRow): Promise<{ readonly outcome: 'stored' | 'version_conflict' }>;
  /** Removes a row of this version. */
  removeTwin(keyId: string, version: number): Promise<{ readonly outcome: 'removed' | 'version_conflict' }>;
  countTwins(): Promise<{ readonly [state in TwinState]: number }>;
}

// ----------------------------------------------------------------------------------------------------------- ledger

export interface AdmitRequest {
  /** Minted at random for this admission, never taken from a client. The same id again gets the same verdict. */
  readonly holdId: string;
  readonly mintedAtMs: number;
  readonly plan: AdmissionPlan;
  /** With `clamp`, what the most output would take. */
  readonly amounts: Amounts;
  readonly clamp?: Clamp | undefined;
  readonly subject: UsageSubject;
  /** The request is refused from this moment of the store's clock on: expiry, or the end of a grace. */
  readonly notAfterMs: number | null;
  readonly leaseMs: number;
  readonly onAbandoned: 'charge' | 'release';
  readonly trace: string | null;
}

/** A further upstream call under an open hold. It takes no slot, and has cells, periods and a model of its own. */
export interface ExtendRequest extends Omit<AdmitRequest, 'holdId' | 'leaseMs'> {
  readonly hold: Hold;
  readonly callId: string;
  /**
   * The call takes the place of the hold's first one: its request stays counted, and counts under limits that the first
   * one did not come under; its tokens and money are given back in the same act, and it needs no settlement of its own.
   */
  readonly replacesFirst: boolean;
}

/**
 * What admit and extend give: the claim of one call. Opaque to callers; plain JSON, so it may travel to another process.
 * It names all that was taken, so that later changes of limits, owner or team don't alter what is given back.
 */
export interface Hold {
  readonly holdId: string;
  /** `''` for the call that opened the hold. */
  readonly callId: string;
  /** Where the hold lives in a store of several shards. */
  readonly home: string;
  readonly subject: UsageSubject;
  readonly takes: readonly Take[];
  readonly amounts: Amounts;
  /** When it was taken, by the store's clock. */
  readonly atMs: number;
  readonly leaseMs: number;
  readonly trace: string | null;
}

export interface Admitted {
  readonly outcome: 'admitted';
  readonly hold: Hold;
  /** With a clamp: the output tokens that were granted. */
  readonly outputTokens: number | null;
  /** What is left of each limit of the plan, by position; `Infinity` where it has none. Never negative. */
  readonly remaining: readonly number[];
}

export interface Refused {
  readonly outcome: 'refused';
  /** Position in `plan.limits` of the limit that refuses longest, or `max_tokens` for `plan.maxTokensPerRequest`. */
  readonly by: number | 'max_tokens';
  /** When the same request fits if nothing settles meanwhile; `null`: never. */
  readonly retryAfterMs: number | null;
  readonly remaining: readonly number[];
}

export type AdmitVerdict =
  | Admitted
  | Refused
  /** A record behind the plan has a newer revision. */
  | { readonly outcome: 'stale'; readonly scopeId: ScopeId; readonly revision: number }
  /** A period of the plan is not the current one by the store's clock. */
  | { readonly outcome: 'stale_clock'; readonly nowMs: number }
  /** The ledger does not know these scopes, and admits nothing under them before they are seeded. */
  | { readonly outcome: 'unseeded'; readonly scopes: readonly { scopeId: ScopeId; nonce: string }[] }
  /** `notAfterMs` has passed. */
  | { readonly outcome: 'expired' }
  /** The id was used with other amounts. */
  | { readonly outcome: 'id_conflict' }
  /** The id belongs to a hold that has ended, or was cancelled before it arrived. */
  | { readonly outcome: 'hold_ended' }
  /** Minted more than five minutes ago. */
  | { readonly outcome: 'too_old' };

export interface SettleRequest {
  readonly hold: Hold;
  readonly usage: TokenUsage;
  readonly costNanoUsd: number;
  readonly source: UsageSource;
  readonly model: string | null;
}

/** A budget whose spending an act has changed, as it stands after the act. */
export interface ChargedBudget {
  readonly scopeId: ScopeId;
  readonly budgetId: string;
  readonly periodStartMs: number;
  readonly spentNanoUsd: number;
}

export interface SettleResult {
  /**
   * `late`: the lease had ended; the difference to what was charged then is applied. `already`: the call was ended before
   * this was asked, and not by a try of the store's own driver whose answer was lost: of that it throws.
   */
  readonly state: 'settled' | 'already' | 'late' | 'lost_hold';
  /** The usage record's line; `null` when `already`. */
  readonly event: UsageEvent | null;
  readonly charged: readonly ChargedBudget[];
}

export interface BudgetBalance {
  readonly budgetId: string;
  readonly periodStartMs: number;
  readonly spentNanoUsd: number;
  readonly heldNanoUsd: number;
}

export interface WindowBalance {
  readonly id: string;
  readonly windowMs: number;
  /** What counts now: taken in the cells that are still inside. */
  readonly used: number;
}

/** The counters of one scope, by the store's clock. */
export interface ScopeBalance {
  readonly scopeId: ScopeId;
  readonly revision: number;
  readonly windows: readonly WindowBalance[];
  readonly openHolds: number;
  readonly budgets: readonly BudgetBalance[];
  /** The ledger does not answer: this is what the usage record says was spent, without what is held. */
  readonly isApproximate?: true;
}

export interface Adjustment {
  /** Random; the same id again changes nothing. */
  readonly id: string;
  readonly scopeId: ScopeId;
  readonly budgets: readonly { readonly budgetId: string; readonly periodStartMs: number }[];
  /** The usage record gets the opposite of what the first of the budgets had spent. */
  readonly subject: UsageSubject;
  readonly audit: AuditEntry;
}

export interface UsageEventPage {
  readonly events: readonly UsageEvent[];
  /** Give it back to read on. */
  readonly cursor: string;
}

/** What the hot methods of a ledger give: at once where nothing has to be waited for. */
export type Answer<T> = T | Promise<T>;

export interface Ledger {
  /** Decides all limits of the plan and takes from all of them, or from none, in one atomic act. */
  admit(request: AdmitRequest): Answer<AdmitVerdict>;
  /** As {@link Ledger.admit}, under an open hold; idempotent by call id. */
  extend(request: ExtendRequest): Answer<AdmitVerdict>;
  /** Charges what a call really consumed, exactly once, and ends it. The hold ends with the last of its calls. */
  settle(request: SettleRequest): Answer<SettleResult>;
  /** Ends a call that consumed nothing: tokens and money go back, the request stays counted. Remembered even if unknown. */
  cancel(hold: Hold): Answer<{ readonly state: 'cancelled' | 'already' }>;
  /** Extends the lease of the whole hold. */
  renew(hold: Hold): Answer<{ readonly state: 'renewed' | 'ended' }>;
  /** Ends holds whose lease is over, at most `limit`; answers how many. */
  sweep(limit: number): Promise<number>;
  balances(scopeIds: readonly ScopeId[]): Promise<readonly ScopeBalance[]>;
  /**
   * Sets the spend of the budgets to zero by an audited adjustment; what is held stays held. None is made without its audit
   * row: where the two cannot be one act the row comes first, and stays where the adjustment then fails.
   */
  adjust(adjustment: Adjustment): Promise<{ readonly state: 'adjusted' | 'already'; readonly adjustedNanoUsd: number }>;
  /** Makes a scope known, with the nonce that an `unseeded` verdict gave before the record was read. */
  seed(
    scopeId: ScopeId,
    nonce: string,
    revision: number,
    openings: readonly BudgetCarry[],
  ): Promise<{ readonly state: 'seeded' | 'superseded' }>;
  /** Appends usage that was measured elsewhere, once for each (hold, call), and charges the key's counters of the plan. */
  record(
    event: UsageEvent,
    plan: AdmissionPlan,
  ): Promise<{ readonly state: 'recorded' | 'already'; readonly charged: readonly ChargedBudget[] }>;
  usage(query: UsageQuery): Promise<readonly UsageRow[]>;
  /** The usage record in the order it was written; a corrected line comes again. */
  usageEvents(after: string | null, limit: number): Promise<UsageEventPage>;
}

// ------------------------------------------------------------------------------------------------------------ store

export interface Store extends Records, Ledger {
  /** Such as `memory`; shown by `health()`. */
  readonly name: string;
  /** Begins to send notices; the function returned ends it. */
  open(environment: StoreEnvironment): () => void;
  /** The store's own time. */
  now(): Promise<number>;
  /** Resolves when the store answers. */
  ping(): Promise<void>;
  /** Ends what the store itself opened; clients that were passed in stay open. */
  close(): Promise<void>;
}
