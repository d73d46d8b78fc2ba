import type { Hold, SettleRequest, SettleResult, StoreNotice } from '../stores/store.ts';
import { type Counting, charge, uncounted } from './counting.ts';
import { type Call, findCall, type Holds, type OpenHold } from './holds.ts';
import type { UsageLines } from './places.ts';
import { abandonedEvent, settledEvent } from './usage-lines.ts';

/** Ends calls, each exactly once: by a settlement, a cancellation, or the end of the lease. */
export interface Ending {
  settle(request: SettleRequest, nowMs: number): SettleResult;
  cancel(hold: Hold, nowMs: number): { readonly state: 'cancelled' | 'already' };
  /** Ends holds whose lease is over, at most so many; answers how many. */
  endExpired(nowMs: number, limit: number): number;
}

export interface EndingOptions {
  readonly counting: Counting;
  readonly holds: Holds;
  readonly usage: UsageLines;
  readonly notify: (notice: StoreNotice) => void;
}

export function createEnding({ counting, holds, usage, notify }: EndingOptions): Ending {
  const { countersOfTakes, correctAll } = counting;

  function closeCall(hold: OpenHold, call: Call, nowMs: number): void {
    call.state = 'ended';
    for (const other of hold.calls) if (other.state === 'open' || other.state === 'replaced') return;
    endHold(hold, nowMs);
  }

  function endHold(hold: OpenHold, nowMs: number): void {
    const { owners } = countersOfTakes(hold.takes);
    for (let position = 0; position < owners.length; position += 1) {
      const owner = hold.takes[position]?.measure === 'concurrency' ? owners[position] : undefined;
      if (owner !== undefined) owner.openHolds -= 1;
    }
    holds.end(hold, nowMs);
  }

  function abandon(hold: OpenHold, nowMs: number): void {
    for (const call of hold.calls) {
      if (call.state === 'replaced') call.state = 'ended';
      if (call.state !== 'open') continue;
      call.state = 'abandoned';
      const spentNanoUsd = call.onAbandoned === 'charge' ? call.hold.amounts.costNanoUsd : 0;
      const charged = correctAll(call.hold, { ...uncounted(call.hold), spentNanoUsd }, nowMs);
      call.event = usage.append(abandonedEvent(call.hold, spentNanoUsd));
      notify({ type: 'abandoned', event: call.event, charged });
    }
    endHold(hold, nowMs);
  }

  function settleLate(call: Call, request: SettleRequest, nowMs: number): SettleResult {
    const chargedNanoUsd = call.event?.costNanoUsd ?? 0;
    const event = settledEvent(call.hold, request);
    const correction = charge(request, { countedTokens: 0, chargedNanoUsd, heldNanoUsd: 0 });
    const charged = correctAll(call.hold, correction, nowMs);
    call.state = 'ended';
    call.event = call.event === null ? usage.append(event) : usage.replace(call.event, event);
    return { state: 'late', event: call.event, charged };
  }

  function cancelLate(call: Call, nowMs: number): { readonly state: 'cancelled' } {
    const charged = call.event?.costNanoUsd ?? 0;
    correctAll(call.hold, { ...uncounted(call.hold), countedTokens: 0, heldNanoUsd: 0, spentNanoUsd: -charged }, nowMs);
    call.state = 'ended';
    if (call.event !== null) call.event = usage.replace(call.event, { ...call.event, costNanoUsd: 0 });
    return { state: 'cancelled' };
  }

  function settleLost(request: SettleRequest, nowMs: number): SettleResult {
    const { hold } = request;
    const charged = correctAll(hold, charge(request, { countedTokens: 0, chargedNanoUsd: 0, heldNanoUsd: 0 }), nowMs);
    const event = usage.append({ ...settledEvent(hold, request), source: 'lost_hold' });
    return { state: 'lost_hold', event, charged };
  }

  return {
    settle(request, nowMs) {
      const { holdId, callId } = request.hold;
      const open = holds.find(holdId);
      const call = open && findCall(open.calls, callId);
      if (open !== undefined && call !== undefined) {
        if (call.state !== 'open') {
          // Whoever ends it by a settlement gives its slot back, too.
          if (call.state === 'replaced') closeCall(open, call, nowMs);
          return already;
        }
        const { tokens, costNanoUsd } = call.hold.amounts;
        const counted = { countedTokens: tokens, chargedNanoUsd: 0, heldNanoUsd: costNanoUsd };
        const charged = correctAll(call.hold, charge(request, counted, call.hold.atMs), nowMs);
        call.event = usage.append(settledEvent(call.hold, request));
        closeCall(open, call, nowMs);
        return { state: 'settled', event: call.event, charged };
      }
      const ended = holds.findEnded(holdId);
      if (Array.isArray(ended)) {
        const abandoned = findCall(ended, callId);
        if (abandoned?.state !== 'abandoned') return already;
        return settleLate(abandoned, request, nowMs);
      }
      if (ended === 'ended') return already;
      if (open !== undefined) {
        open.calls.push(endedBefore(request.hold));
        return settleLost(request, nowMs);
      }
      const charged = ended instanceof Set ? ended : new Set<string>();
      if (charged.has(callId)) return already;
      charged.add(callId);
      holds.rememberEnded(holdId, charged, nowMs);
      return settleLost(request, nowMs);
    },

    cancel(hold, nowMs) {
      const open = holds.find(hold.holdId);
      if (open === undefined) {
        const ended = holds.findEnded(hold.holdId);
        const abandoned = Array.isArray(ended) ? findCall(ended, hold.callId) : undefined;
        if (abandoned?.state === 'abandoned') return cancelLate(abandoned, nowMs);
        if (ended !== undefined) return { state: 'already' };
        // It may overtake the admission that it cancels.
        holds.rememberEnded(hold.holdId, 'ended', nowMs);
        return { state: 'cancelled' };
      }
      const call = findCall(open.calls, hold.callId);
      if (call === undefined) {
        open.calls.push(endedBefore(hold));
        return { state: 'cancelled' };
      }
      if (call.state === 'ended') return { state: 'already' };
      if (call.state === 'open') correctAll(call.hold, uncounted(call.hold), nowMs);
      closeCall(open, call, nowMs);
      return { state: 'cancelled' };
    },

    endExpired(nowMs, limit) {
      let ended = 0;
      for (let hold = holds.expired(nowMs); hold !== undefined && ended < limit; hold = holds.expired(nowMs)) {
        abandon(hold, nowMs);
        ended += 1;
      }
      return ended;
    },
  };
}

const already: SettleResult = { state: 'already', event: null, charged: [] };

/** A call that ended before the ledger heard of its beginning, which may still arrive. */
function endedBefore(hold: Hold): Call {
  return {
    hold,
    requested: hold.amounts,
    outputTokens: null,
    remaining: [],
    onAbandoned: 'release',
    state: 'ended',
    event: null,
  };
}
