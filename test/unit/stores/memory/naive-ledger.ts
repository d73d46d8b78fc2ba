import type { Standing } from '../../../../lib/testing/store-suite/standing.ts';

export interface NaiveLimits {
  readonly rpm: number;
  readonly tpm: number;
  readonly parallel: number;
  /** Nano-dollars a day. */
  readonly daily: number;
}

interface NaiveCall {
  readonly atMs: number;
  readonly tokens: number;
  readonly cost: number;
  /** Tokens that count, by the moment at which they do. */
  counted: { readonly atMs: number; readonly tokens: number }[];
  charged: number;
  state: 'open' | 'replaced' | 'ended' | 'abandoned';
}

export interface NaiveHold {
  readonly calls: Map<string, NaiveCall>;
  leaseEndsAtMs: number;
  isOpen: boolean;
}

type Outcome = 'admitted' | 'refused' | 'hold_ended';

/**
 * What a ledger with one scope does, written as plainly as can be: every call is kept for ever, and every sum is made
 * anew. It knows nothing of rings, running totals or linked lists.
 */
export class NaiveLedger {
  nowMs: number;
  limits: NaiveLimits;
  readonly holds: NaiveHold[] = [];
  readonly #leaseMs: number;
  readonly #requestsAtMs: number[] = [];

  constructor(nowMs: number, limits: NaiveLimits, leaseMs: number) {
    this.nowMs = nowMs;
    this.limits = limits;
    this.#leaseMs = leaseMs;
  }

  admit(tokens: number, cost: number): Outcome {
    this.sweep();
    const fits = this.#fits({ requests: 1, tokens, slots: 1, cost });
    const hold: NaiveHold = { calls: new Map(), leaseEndsAtMs: this.nowMs + this.#leaseMs, isOpen: fits };
    if (!fits) return 'refused';
    this.holds.push(hold);
    this.#place(hold, '', tokens, cost);
    this.#requestsAtMs.push(this.nowMs);
    return 'admitted';
  }

  extend(hold: NaiveHold, callId: string, tokens: number, cost: number, replacesFirst: boolean): Outcome {
    this.sweep();
    if (!hold.isOpen) return 'hold_ended';
    const first = hold.calls.get('');
    const replaced = replacesFirst && first?.state === 'open' ? first : undefined;
    if (replaced !== undefined) replaced.state = 'replaced';
    if (!this.#fits({ requests: replaced === undefined ? 1 : 0, tokens, slots: 0, cost })) {
      if (replaced !== undefined) replaced.state = 'open';
      return 'refused';
    }
    if (replaced !== undefined) replaced.counted = [];
    else this.#requestsAtMs.push(this.nowMs);
    this.#place(hold, callId, tokens, cost);
    return 'admitted';
  }

  settle(hold: NaiveHold, callId: string, tokens: number, cost: number): string {
    const call = hold.calls.get(callId);
    if (call === undefined || call.state === 'ended') return 'already';
    if (call.state === 'replaced') {
      this.#end(hold, call);
      return 'already';
    }
    const isLate = call.state === 'abandoned';
    const before = call.counted.reduce((sum, counted) => sum + counted.tokens, 0);
    call.counted = [{ atMs: call.atMs, tokens: Math.min(before, tokens) }];
    call.counted.push({ atMs: this.nowMs, tokens: Math.max(0, tokens - before) });
    call.charged = cost;
    this.#end(hold, call);
    return isLate ? 'late' : 'settled';
  }

  cancel(hold: NaiveHold, callId: string): string {
    const call = hold.calls.get(callId);
    if (call === undefined || call.state === 'ended') return 'already';
    call.counted = [];
    call.charged = 0;
    this.#end(hold, call);
    return 'cancelled';
  }

  renew(hold: NaiveHold): string {
    this.sweep();
    if (hold.isOpen) hold.leaseEndsAtMs = this.nowMs + this.#leaseMs;
    return hold.isOpen ? 'renewed' : 'ended';
  }

  sweep(): void {
    for (const hold of this.holds) {
      if (!hold.isOpen || hold.leaseEndsAtMs > this.nowMs) continue;
      hold.isOpen = false;
      for (const call of hold.calls.values()) {
        if (call.state === 'open') {
          call.state = 'abandoned';
          call.charged = call.cost;
          call.counted = [];
        } else if (call.state === 'replaced') call.state = 'ended';
      }
    }
  }

  standing(): Standing {
    const [rpm, tpm] = [this.#requests(), this.#tokens()];
    const days = new Map<string, { spent: number; held: number }>();
    for (const call of this.#calls()) {
      const day = new Date(call.atMs).toISOString().slice(0, 10);
      const { spent, held } = days.get(day) ?? { spent: 0, held: 0 };
      days.set(day, { spent: spent + call.charged, held: held + heldBy(call) });
    }
    const money = [...days].filter(([, { spent, held }]) => spent !== 0 || held !== 0);
    return {
      openHolds: this.#openHolds(),
      windows: { ...(rpm > 0 && { rpm }), ...(tpm > 0 && { tpm }) },
      budgets: Object.fromEntries(
        money.map(([day, { spent, held }]) => [`main from ${day}`, { spent: spent / 1e9, held: held / 1e9 }]),
      ),
    };
  }

  #fits(asked: { requests: number; tokens: number; slots: number; cost: number }): boolean {
    const { rpm, tpm, parallel, daily } = this.limits;
    const today = Math.floor(this.nowMs / 86_400_000);
    const calls = this.#calls().filter(({ atMs }) => Math.floor(atMs / 86_400_000) === today);
    const money = calls.reduce((sum, call) => sum + call.charged + heldBy(call), 0);
    return (
      (asked.requests === 0 || (rpm > 0 && this.#requests() + 1 <= rpm)) &&
      (asked.slots === 0 || (parallel > 0 && this.#openHolds() + 1 <= parallel)) &&
      tpm > 0 &&
      this.#tokens() + asked.tokens <= tpm &&
      daily > 0 &&
      money + asked.cost <= daily
    );
  }

  #place(hold: NaiveHold, callId: string, tokens: number, cost: number): void {
    const counted = [{ atMs: this.nowMs, tokens }];
    hold.calls.set(callId, { atMs: this.nowMs, tokens, cost, counted, charged: 0, state: 'open' });
  }

  #end(hold: NaiveHold, call: NaiveCall): void {
    call.state = 'ended';
    if ([...hold.calls.values()].every(({ state }) => state === 'ended')) hold.isOpen = false;
  }

  #calls(): NaiveCall[] {
    return this.holds.flatMap(({ calls }) => [...calls.values()]);
  }

  #openHolds(): number {
    return this.holds.filter(({ isOpen }) => isOpen).length;
  }

  #requests(): number {
    return this.#requestsAtMs.filter((atMs) => this.#counts(atMs)).length;
  }

  #tokens(): number {
    const counted = this.#calls().flatMap((call) => (call.state === 'replaced' ? [] : call.counted));
    return counted.reduce((sum, { atMs, tokens }) => (this.#counts(atMs) ? sum + tokens : sum), 0);
  }

  /** A minute is 60 cells of a second, and the current one counts beside them. */
  #counts(atMs: number): boolean {
    return Math.floor(atMs / 1000) >= Math.floor(this.nowMs / 1000) - 60;
  }
}

function heldBy({ state, cost }: NaiveCall): number {
  return state === 'open' ? cost : 0;
}
