import { StoreUnavailableError } from '../errors.ts';
import type { PlannedLimit, ScopeId, ScopeKind } from '../limits/limit.ts';
import type { LimitedScope } from '../limits/plan.ts';
import { randomId } from '../random-id.ts';
import { whenAnswered } from '../stores/answered.ts';
import type { Circuit } from '../stores/circuit.ts';
import type { WithDeadline } from '../stores/deadline.ts';
import type { AdmitRequest, AdmitVerdict, Amounts, Answer, Clamp, Hold, Store } from '../stores/store.ts';
import type { UsageSubject } from '../usage/usage.ts';
import { granted, limited } from './admission-outcome.ts';
import { openingsOf } from './budget-openings.ts';
import type { Denials } from './denials.ts';
import type { LastSeen } from './last-seen.ts';
import type { LocalLedger } from './local-ledger.ts';
import { limitedScopes, type Principal } from './principals.ts';
import type { VirtualKeyRecord } from './virtual-key.ts';

/** What one call asks for. */
export interface CallDemand {
  readonly model: string | null;
  readonly endpoint: string | null;
  readonly amounts: Amounts;
  readonly clamp?: Clamp | undefined;
  readonly trace: string | null;
  /** While the store is down, the call is decided here for at most so long; absent: it is refused. */
  readonly maxOutageMs?: number | undefined;
}

/** A principal that may make the call, and until when its secret is good. */
export interface Judged {
  readonly principal: Principal;
  readonly notAfterMs: number | null;
}

/** Reads the records anew and judges the request by them, because they have changed. */
export type Rejudge<R> = () => Promise<{ readonly judged: Judged } | { readonly refused: R }>;

/** How a limit of the plan stands after a decision; `remaining` is `Infinity` where it has none. */
export interface LimitStanding {
  readonly limit: PlannedLimit;
  readonly remaining: number;
}

export interface Granted {
  readonly outcome: 'granted';
  readonly hold: Hold;
  readonly principal: Principal;
  /** With a clamp: the output tokens granted. */
  readonly outputTokens: number | null;
  readonly standings: readonly LimitStanding[];
}

export interface LimitRefusal {
  readonly outcome: 'limited';
  readonly reason: 'requests' | 'tokens' | 'concurrency' | 'budget' | 'too_large';
  readonly scope: ScopeKind;
  /** As `param` names it: `rpm`, `monthly_budget`, `max_tokens_per_request`, … */
  readonly limitName: string;
  readonly limit: number;
  /** `null`: never. */
  readonly retryAfterMs: number | null;
  readonly standings: readonly LimitStanding[];
}

export type AdmissionOutcome<R> =
  | Granted
  | LimitRefusal
  /** The key, or the grace of the secret, ended meanwhile. */
  | { readonly outcome: 'expired' }
  /** The hold that was to be extended has ended. */
  | { readonly outcome: 'hold_ended' }
  /** The records had changed, and by the new ones the request is refused. */
  | { readonly outcome: 'rejudged'; readonly refused: R };

export interface AdmissionsOptions {
  readonly store: Store;
  readonly now: () => number;
  readonly withDeadline: WithDeadline;
  readonly withReportDeadline: WithDeadline;
  readonly circuit: Circuit;
  readonly denials: Denials;
  readonly lastSeen: LastSeen;
  readonly localLedger: LocalLedger;
  readonly leaseMs: number;
  readonly onAbandoned: 'charge' | 'release';
  readonly forget: (scopeId: ScopeId) => void;
  /** Told of a record that is older than the ledger knows it, although it was read anew. */
  readonly onOutdated: (scopeId: ScopeId) => void;
  readonly onGranted: (key: VirtualKeyRecord) => void;
  /** Cancels, in the background, an admission whose answer did not come. */
  readonly giveUp: (hold: Hold) => void;
}

/**
 * Holds calls against every limit over a key, under records that are not older than those of the ledger. Where the store
 * is known to be down, the error is thrown; one that comes later rejects the answer.
 */
export interface Admissions {
  admit<R>(judged: Judged, demand: CallDemand, rejudge: Rejudge<R>): Answer<AdmissionOutcome<R>>;
  /** A further call under the hold; with `replacesFirst` it takes the place of the one that opened it. */
  extend<R>(
    hold: Hold,
    judged: Judged,
    demand: CallDemand & { readonly replacesFirst: boolean },
    rejudge: Rejudge<R>,
  ): Answer<AdmissionOutcome<R>>;
}

interface Asked {
  readonly verdict: AdmitVerdict;
  /** The store at once, the store after a while, or the local ledger in its place. */
  readonly from: 'store' | 'store_later' | 'here';
}

/** How the store is asked for one call, and what it has had against that. */
interface Attempt {
  /** `''` for the call that opens the hold. */
  readonly callId: string;
  readonly send: (request: AdmitRequest) => Answer<AdmitVerdict>;
  readonly demand: CallDemand;
  readonly askedAtMs: number;
  judged: Judged;
  nowMs: number;
  request: AdmitRequest;
  wasStale: boolean;
  wasTooOld: boolean;
  seedings: number;
  clockCorrections: number;
}

const unsteadyClock = 'The clock of the store is unsteady';

/** Clocks of processes and stores differ by little: once is enough, twice allows for a period that ends meanwhile. */
const maxClockCorrections = 2;
const maxSeedings = 3;

export function createAdmissions(options: AdmissionsOptions): Admissions {
  const { store, now, withDeadline, withReportDeadline, circuit, denials, lastSeen, localLedger } = options;
  const seedings = new Map<string, Promise<void>>();
  const { leaseMs, onAbandoned, forget, onOutdated, onGranted, giveUp } = options;

  /** At once, where the store answers at once and has nothing against how it was asked. */
  function negotiate<R>(
    judged: Judged,
    demand: CallDemand,
    rejudge: Rejudge<R>,
    { holdId, callId, send }: Pick<Attempt, 'callId' | 'send'> & { readonly holdId: string },
  ): Answer<AdmissionOutcome<R>> {
    const nowMs = now();
    const attempt: Attempt = {
      callId,
      send,
      demand,
      askedAtMs: nowMs,
      judged,
      nowMs,
      request: requestOf(judged, demand, { holdId, mintedAtMs: nowMs, nowMs }),
      wasStale: false,
      wasTooOld: false,
      seedings: 0,
      clockCorrections: 0,
    };
    return whenAnswered(ask(attempt), (asked) => outcomeOf(asked, attempt) ?? negotiateOn(asked, attempt, rejudge));
  }

  async function negotiateOn<R>(first: Asked, attempt: Attempt, rejudge: Rejudge<R>): Promise<AdmissionOutcome<R>> {
    for (let asked = first; ; asked = await ask(attempt)) {
      const outcome = outcomeOf(asked, attempt) ?? (await correct(attempt, asked.verdict, rejudge));
      if (outcome !== undefined) return outcome;
      attempt.request = requestOf(attempt.judged, attempt.demand, { ...attempt.request, nowMs: attempt.nowMs });
    }
  }

  function requestOf(
    { principal, notAfterMs }: Judged,
    demand: CallDemand,
    { holdId, mintedAtMs, nowMs }: { readonly holdId: string; readonly mintedAtMs: number; readonly nowMs: number },
  ): AdmitRequest {
    const { model, amounts, clamp, trace } = demand;
    const plan = principal.planFor(model, nowMs);
    const subject = subjectOf(principal, demand);
    return { holdId, leaseMs, mintedAtMs, plan, amounts, clamp, subject, notAfterMs, onAbandoned, trace };
  }

  /** `undefined`: the store has something against how it was asked. */
  function outcomeOf({ verdict, from }: Asked, attempt: Attempt): AdmissionOutcome<never> | undefined {
    const { judged, demand, callId, askedAtMs } = attempt;
    const { plan } = attempt.request;
    switch (verdict.outcome) {
      case 'admitted':
        onGranted(judged.principal.key);
        return granted(verdict, judged.principal, plan);
      case 'refused': {
        const refusal = limited(verdict, plan);
        if (from !== 'here' && callId === '') {
          denials.keep(plan, demand, refusal, { askedAtMs, hadToWait: from === 'store_later' });
        }
        return refusal;
      }
      case 'expired':
      case 'hold_ended':
        return { outcome: verdict.outcome };
      default:
        return undefined;
    }
  }

  /** Mends what the store has against an attempt, so that it can be asked again. An outcome: that cannot be. */
  async function correct<R>(
    attempt: Attempt,
    verdict: AdmitVerdict,
    rejudge: Rejudge<R>,
  ): Promise<AdmissionOutcome<R> | undefined> {
    switch (verdict.outcome) {
      case 'stale': {
        if (attempt.wasStale) {
          throw new StoreUnavailableError('The records changed again while the request was judged');
        }
        attempt.wasStale = true;
        forget(verdict.scopeId);
        const again = await rejudge();
        if ('refused' in again) return { outcome: 'rejudged', refused: again.refused };
        // A record is stored before the ledger hears of it: one that is older still was put back.
        if (revisionOf(verdict.scopeId, again.judged.principal) < verdict.revision) {
          onOutdated(verdict.scopeId);
          throw new StoreUnavailableError(`The record of ${verdict.scopeId} is older than the ledger knows it`);
        }
        attempt.judged = again.judged;
        attempt.nowMs = now();
        return undefined;
      }
      case 'stale_clock':
        attempt.clockCorrections += 1;
        if (attempt.clockCorrections > maxClockCorrections) throw new StoreUnavailableError(unsteadyClock);
        attempt.nowMs = verdict.nowMs;
        return undefined;
      case 'unseeded': {
        attempt.seedings += 1;
        if (attempt.seedings > maxSeedings) throw new StoreUnavailableError('The ledger could not be seeded');
        const again = await rejudge();
        if ('refused' in again) return { outcome: 'rejudged', refused: again.refused };
        attempt.judged = again.judged;
        await seed(verdict.scopes, again.judged.principal, attempt.nowMs);
        return undefined;
      }
      case 'too_old': {
        // It was minted just now: our clock is far behind, or the process stood still. Nothing was taken under the id.
        if (attempt.wasTooOld) throw new StoreUnavailableError(unsteadyClock);
        attempt.wasTooOld = true;
        const mintedAtMs = await withDeadline(store.now());
        attempt.request = { ...attempt.request, mintedAtMs };
        attempt.nowMs = mintedAtMs;
        return undefined;
      }
      default:
        throw new StoreUnavailableError(`The store refused the admission's id: ${verdict.outcome}`);
    }
  }

  function ask(attempt: Attempt): Answer<Asked> {
    const { send, request } = attempt;
    try {
      const answer = circuit.ask(() => send(request));
      return answer instanceof Promise ? askedLater(attempt, answer) : heard(attempt, answer, 'store');
    } catch (error) {
      return decidedHere(attempt, error);
    }
  }

  async function askedLater(attempt: Attempt, answer: Promise<AdmitVerdict>): Promise<Asked> {
    try {
      return heard(attempt, await answer, 'store_later');
    } catch (error) {
      giveUp(holdOf(attempt));
      return decidedHere(attempt, error);
    }
  }

  function heard({ request }: Attempt, verdict: AdmitVerdict, from: Asked['from']): Asked {
    if ('remaining' in verdict) lastSeen.remember(request.plan, verdict.remaining, now());
    return { verdict, from };
  }

  /** @throws the error for which the store has not decided, where nobody else may */
  function decidedHere(attempt: Attempt, error: unknown): Asked {
    const { demand, wasStale, seedings } = attempt;
    // What the ledger has found to be out of date is not decided without it.
    const maxOutageMs = wasStale || seedings > 0 ? undefined : demand.maxOutageMs;
    const verdict = maxOutageMs === undefined ? undefined : decideHere(attempt.request, holdOf(attempt), maxOutageMs);
    if (verdict === undefined) throw error;
    return { verdict, from: 'here' };
  }

  function holdOf({ request, callId, nowMs }: Attempt): Hold {
    const { holdId, subject, plan, amounts, trace } = request;
    return { holdId, callId, home: '', subject, takes: plan.takes, amounts, atMs: nowMs, leaseMs, trace };
  }

  /**
   * Under an id of its own: what the store was asked for, and may still carry out, is cancelled; this call is settled as
   * one that the store has never heard of. Both happen once for each id, so nothing is charged twice.
   */
  function decideHere(request: AdmitRequest, asked: Hold, maxOutageMs: number): AdmitVerdict | undefined {
    const downSinceMs = circuit.failingSinceMs();
    const nowMs = now();
    if (downSinceMs === null || nowMs - downSinceMs >= maxOutageMs) return undefined;
    return localLedger.admit(request, { ...asked, holdId: randomId(), callId: '' }, nowMs);
  }

  async function seed(
    scopes: readonly { readonly scopeId: ScopeId; readonly nonce: string }[],
    principal: Principal,
    nowMs: number,
  ): Promise<void> {
    const limited = limitedScopes(principal.key, principal.policies);
    const unknown = scopes.flatMap(({ scopeId, nonce }) => {
      const scope = limited.find((candidate) => candidate.scopeId === scopeId);
      return scope === undefined ? [] : [seedOnce(scope, nonce, nowMs)];
    });
    await withDeadline(Promise.all(unknown));
  }

  /**
   * Reads once for all who find the scope unknown. Where that takes longer than a call may wait, it goes on without them:
   * later calls find the scope seeded.
   */
  function seedOnce(scope: LimitedScope, nonce: string, nowMs: number): Promise<void> {
    const name = `${scope.scopeId} ${nonce}`;
    const underWay = seedings.get(name);
    if (underWay !== undefined) return underWay;
    const begun = readAndSeed(scope, nonce, nowMs).finally(() => seedings.delete(name));
    seedings.set(name, begun);
    return begun;
  }

  async function readAndSeed(scope: LimitedScope, nonce: string, nowMs: number): Promise<void> {
    const openings = await withReportDeadline(openingsOf(store, scope, nowMs));
    await withDeadline(Promise.resolve(store.seed(scope.scopeId, nonce, scope.revision, openings)));
  }

  const admitInStore = (request: AdmitRequest) => store.admit(request);

  function admit<R>(judged: Judged, demand: CallDemand, rejudge: Rejudge<R>): Answer<AdmissionOutcome<R>> {
    const nowMs = now();
    const denied = denials.find(judged.principal.planFor(demand.model, nowMs), demand, nowMs);
    return denied ?? negotiate(judged, demand, rejudge, { holdId: randomId(), callId: '', send: admitInStore });
  }

  return {
    admit,
    extend(hold, judged, demand, rejudge) {
      // The store does not know what was admitted in its place: a call under it is one of its own.
      if (localLedger.has(hold.holdId)) return admit(judged, demand, rejudge);
      const callId = randomId();
      const { replacesFirst } = demand;
      const send = (request: AdmitRequest) => store.extend({ ...request, hold, callId, replacesFirst });
      return negotiate(judged, demand, rejudge, { holdId: hold.holdId, callId, send });
    },
  };
}

/** Of a scope that no longer concerns the key nothing is to be said. */
function revisionOf(scopeId: ScopeId, { key, policies }: Principal): number {
  return limitedScopes(key, policies).find((scope) => scope.scopeId === scopeId)?.revision ?? Infinity;
}

function subjectOf({ key }: Principal, { model, endpoint }: CallDemand): UsageSubject {
  return { keyId: key.id, ownerId: key.ownerId, teamId: key.teamId, model, endpoint };
}
