import type { Call, EndedHold, OpenHold } from '../../ledger/holds.ts';
import type { Measure, ScopeId, Take } from '../../limits/limit.ts';
import type { UsageEvent, UsageSubject } from '../../usage/usage.ts';
import { check, isAmount, isList, isText, isTextOrNull, isWhole } from './stored-json.ts';

const format = 2;
const measures: readonly Measure[] = ['requests', 'tokens', 'concurrency', 'budget'];
const states: readonly Call['state'][] = ['open', 'replaced', 'ended', 'abandoned'];

/**
 * The calls of a hold as they are stored, open or abandoned: `[format, takes, calls]`. All that were judged by one plan
 * share its takes, and name them by position.
 */
export function writeCalls(calls: readonly Call[]): string {
  const takes: (readonly Take[])[] = [];
  const stored: unknown[] = [];
  for (const call of calls) {
    let position = takes.indexOf(call.hold.takes);
    if (position === -1) position = takes.push(call.hold.takes) - 1;
    stored.push(storedCall(call, position));
  }
  return `[${format},[${takes.map(writeTakes).join(',')}],${JSON.stringify(stored)}]`;
}

function storedCall(call: Call, takes: number): readonly unknown[] {
  const { hold, requested, outputTokens, onAbandoned, state } = call;
  const { subject, amounts } = hold;
  return [
    hold.callId,
    takes,
    [subject.keyId, subject.ownerId, subject.teamId, subject.model, subject.endpoint],
    [amounts.tokens, amounts.costNanoUsd, requested.tokens, requested.costNanoUsd],
    hold.atMs,
    hold.leaseMs,
    hold.trace,
    outputTokens,
    // `Infinity` has no place in JSON, and becomes null.
    call.remaining,
    onAbandoned === 'charge' ? 1 : 0,
    states.indexOf(state),
    state === 'abandoned' ? call.event : null,
  ];
}

/** Holds of one plan have the takes of the plan, which stay as they are. */
const written = new WeakMap<readonly Take[], string>();

/** `[scopes, take, …]`, where each take names its scope by position: names are long, and most takes are of the same. */
function writeTakes(takes: readonly Take[]): string {
  const known = written.get(takes);
  if (known !== undefined) return known;
  const scopeIds = [...new Set(takes.map(({ scopeId }) => scopeId))];
  const text = JSON.stringify([
    scopeIds,
    ...takes.map(({ scopeId, id, measure, windowMs, periodStartMs }) => [
      scopeIds.indexOf(scopeId),
      id,
      measures.indexOf(measure),
      windowMs,
      periodStartMs,
    ]),
  ]);
  written.set(takes, text);
  return text;
}

/** @throws TypeError for what {@link writeCalls} would not have written */
export function readCalls(holdId: string, body: string): Call[] {
  const stored: unknown = JSON.parse(body);
  check(isList(stored) && stored.length === 3 && stored[0] === format);
  const [, lists, calls] = stored;
  check(isList(lists) && isList(calls) && calls.length > 0);
  const takes = lists.map(readTakes);
  return calls.map((entry) => readCall(holdId, takes, entry));
}

function readCall(holdId: string, lists: readonly (readonly Take[])[], stored: unknown): Call {
  check(isList(stored) && stored.length === 12);
  const [callId, position, subject, amounts, atMs, leaseMs, trace, outputTokens, remaining, charges, state, event] =
    stored;
  check(isText(callId) && isWhole(position) && isWhole(atMs) && isAmount(leaseMs));
  check(isTextOrNull(trace) && (outputTokens === null || isWhole(outputTokens)) && isList(remaining));
  check(isList(amounts) && amounts.length === 4 && amounts.every(isAmount) && isWhole(state));
  const [tokens = 0, costNanoUsd = 0, requestedTokens = 0, requestedNanoUsd = 0] = amounts;
  const [takes, readState] = [lists[position], states[state]];
  check(takes !== undefined && readState !== undefined);
  return {
    hold: {
      holdId,
      callId,
      home: '',
      subject: readSubject(subject),
      takes,
      amounts: { tokens, costNanoUsd },
      atMs,
      leaseMs,
      trace,
    },
    requested: { tokens: requestedTokens, costNanoUsd: requestedNanoUsd },
    outputTokens,
    remaining: remaining.map((left) => (isWhole(left) ? left : Infinity)),
    onAbandoned: charges === 1 ? 'charge' : 'release',
    state: readState,
    event: readEvent(event),
  };
}

function readSubject(stored: unknown): UsageSubject {
  check(isList(stored) && stored.length === 5);
  const [keyId, ownerId, teamId, model, endpoint] = stored;
  check(isText(keyId) && isTextOrNull(ownerId) && isTextOrNull(teamId) && isTextOrNull(model));
  check(isTextOrNull(endpoint));
  return { keyId, ownerId, teamId, model, endpoint };
}

function readTakes(stored: unknown): readonly Take[] {
  check(isList(stored) && stored.length > 0);
  const [scopeIds, ...takes] = stored;
  check(isList(scopeIds));
  return takes.map((take) => readTake(scopeIds, take));
}

function readTake(scopeIds: readonly unknown[], stored: unknown): Take {
  check(isList(stored) && stored.length === 5);
  const [position, id, measure, windowMs, periodStartMs] = stored;
  check(isWhole(position) && isText(id) && isWhole(measure) && isAmount(windowMs) && isWhole(periodStartMs));
  const [scopeId, readMeasure] = [scopeIds[position], measures[measure]];
  check(isText(scopeId) && readMeasure !== undefined);
  // An id that is none finds no counters.
  return { scopeId: scopeId as ScopeId, id, measure: readMeasure, windowMs, periodStartMs };
}

/** Only its names and its cost are used again: they are corrected. */
function readEvent(stored: unknown): UsageEvent | null {
  if (stored === null) return null;
  check(typeof stored === 'object' && 'costNanoUsd' in stored && isWhole(stored.costNanoUsd));
  check('keyId' in stored && isText(stored.keyId) && 'atMs' in stored && isWhole(stored.atMs));
  return stored as UsageEvent;
}

/** What is remembered of a hold that has ended; null: nothing but that it has. */
export function writeEnded(ended: EndedHold): string | null {
  if (ended === 'ended') return null;
  return ended instanceof Set ? JSON.stringify({ charged: [...ended] }) : writeCalls(ended);
}

/** @throws TypeError for what {@link writeEnded} would not have written */
export function readEnded(holdId: string, body: string | null): EndedHold {
  if (body === null) return 'ended';
  if (!body.startsWith('{')) return readCalls(holdId, body);
  const { charged }: { charged?: unknown } = JSON.parse(body);
  check(isList(charged) && charged.every(isText));
  return new Set(charged);
}

export function readOpen(holdId: string, leaseEndsAtMs: number, body: string): OpenHold {
  const calls = readCalls(holdId, body);
  const [first] = calls;
  check(first !== undefined);
  const { takes, leaseMs } = first.hold;
  return { holdId, takes, calls, leaseMs, leaseEndsAtMs, earlier: undefined, later: undefined };
}
