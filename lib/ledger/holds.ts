import type { Take } from '../limits/limit.ts';
import type { AdmitRequest, Amounts, Hold } from '../stores/store.ts';
import type { UsageEvent } from '../usage/usage.ts';

/** One call under a hold, from its admission on. */
export interface Call {
  readonly hold: Hold;
  readonly requested: Amounts;
  readonly outputTokens: number | null;
  /** As the verdict told it: a repeated admission is told the same. */
  readonly remaining: readonly number[];
  readonly onAbandoned: AdmitRequest['onAbandoned'];
  /** `replaced`: another call took its place, and it holds nothing but the slot. */
  state: 'open' | 'replaced' | 'ended' | 'abandoned';
  /** The usage record's line, once there is one. */
  event: UsageEvent | null;
}

/** A hold with all of its calls, until the last of them has ended. */
export interface OpenHold {
  readonly holdId: string;
  /** Among them the slots, which are given back with the last call. */
  readonly takes: readonly Take[];
  /** Nearly always one, in the order in which they came. */
  readonly calls: Call[];
  readonly leaseMs: number;
  leaseEndsAtMs: number;
  /** Neighbours by the end of the lease, where holds are kept in a queue. */
  earlier: OpenHold | undefined;
  later: OpenHold | undefined;
}

/** What is remembered of a hold that has ended. */
export type EndedHold =
  /** Every call of it was settled or cancelled. */
  | 'ended'
  /** Its lease ended it: calls that were open then may still be settled. */
  | Call[]
  /** The ledger did not know it; these calls of it have been charged. */
  | Set<string>;

/** Open holds by id and by the end of their lease, and the ones that have ended, for at least an hour. */
export interface Holds {
  find(holdId: string): OpenHold | undefined;
  open(hold: OpenHold, nowMs: number): void;
  renew(hold: OpenHold, nowMs: number): void;
  /** The hold whose lease ended first, if any has. */
  expired(nowMs: number): OpenHold | undefined;
  end(hold: OpenHold, nowMs: number): void;
  /** `undefined`: nothing is remembered of this id. */
  findEnded(holdId: string): EndedHold | undefined;
  rememberEnded(holdId: string, ended: EndedHold, nowMs: number): void;
}

/** A paused process may settle long after its lease: holds with abandoned calls are remembered for longer. */
export function wasAbandoned(calls: readonly Call[]): boolean {
  return calls.some(({ state }) => state === 'abandoned');
}

export function findCall(calls: readonly Call[], callId: string): Call | undefined {
  for (const call of calls) if (call.hold.callId === callId) return call;
  return undefined;
}
