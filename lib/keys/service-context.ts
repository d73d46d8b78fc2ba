import type { ScopeId } from '../limits/limit.ts';
import type { WithDeadline } from '../stores/deadline.ts';
import type { Store } from '../stores/store.ts';
import type { Pricing } from '../usage/cost.ts';
import type { MirrorPlace } from './attached-mirror.ts';
import type { Events } from './events.ts';
import type { Hooks } from './hooks.ts';
import type { Principals } from './principals.ts';
import type { Quotas } from './quotas.ts';
import type { SecretFormat } from './secret.ts';
import type { ServiceOptions } from './service-options.ts';
import type { VirtualKey } from './shown-key.ts';
import type { VirtualKeyRecord } from './virtual-key.ts';

/** What the parts of one service share. */
export interface ServiceContext {
  readonly store: Store;
  readonly options: ServiceOptions;
  readonly secrets: SecretFormat;
  readonly pricing: Pricing;
  readonly principals: Principals;
  readonly hooks: Hooks;
  readonly mirror: MirrorPlace;
  readonly events: Events;
  readonly now: () => number;
  readonly withDeadline: WithDeadline;
  /** For lists and sums, which no call waits for: they take their time where there are millions of rows. */
  readonly withReportDeadline: WithDeadline;
  /** A key from the store itself; one that cannot be read is reported and not found. */
  findRecord(id: string): Promise<VirtualKeyRecord | undefined>;
  /** Defaults and maximums in force. */
  quotas(): Promise<Quotas>;
  /** Drops what is cached of a scope, before the store's notice arrives. */
  forget(scopeId: ScopeId): void;
  /** Keys as callers see them, with what they have spent. */
  shown(record: VirtualKeyRecord): Promise<VirtualKey>;
  shownAll(records: readonly VirtualKeyRecord[]): Promise<readonly VirtualKey[]>;
  /** A key as the audit log keeps it: its settings, neither usage nor secret. */
  auditView(record: VirtualKeyRecord): object;
}
