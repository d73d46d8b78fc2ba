import { StoreUnavailableError } from '../errors.ts';
import type { PlannedLimit, ScopeId, ScopeKind } from '../limits/limit.ts';
import { randomId } from '../random-id.ts';
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
  readonly circuit: Circuit;
  readonly denials: Denials;
  readonly lastSeen: LastSeen;
  readonly localLedger: LocalLedger;
  readonly leaseMs: number;
  readonly onAbandoned: 'charge' | 'release';
  readonly forget: (scopeId: ScopeId) => void;
  readonly onGranted: (key: VirtualKeyRecord) => void;
  /** Cancels, in the background, an admission whose answer did not come. */
  readonly giveUp: (hold: Hold) => void;
}

/** Holds calls against every limit over a key, under records that are not older than those of the ledger. */
export interface Admissions {
  admit<R>(judged: Judged, demand: CallDemand, rejudge: Rejudge<R>): Promise<AdmissionOutcome<R>>;
  /** A further call under the hold; with `replacesFirst` it takes the place of the one that opened it. */
  extend<R>(
    hold: Hold,
    judged: Judged,
    demand: CallDemand & { readonly replacesFirst: boolean },
    rejudge: Rejudge<R>,
  ): Promise<AdmissionOutcome<R>>;
}

interface Asked {
  readonly verdict: AdmitVerdict;
  /** The store at once, the store after a while, or the local ledger in its place. */
  readonly from: 'store' | 'store_later' | 'here';
}

type PlannedRequest = Omit<AdmitRequest, 'holdId' | 'leaseMs'>;

/** Clocks of processes and stores differ by little: once is enough, twice allows for a period that ends meanwhile. */
const maxClockCorrections = 2;
const maxSeedings = 3;

export function createAdmissions(options: AdmissionsOptions): Admissions {
  const { store, now, withDeadline, circuit, denials, lastSeen, localLedger } = options;
  const { leaseMs, onAbandoned, forget, onGranted, giveUp } = options;

  async function negotiate<R>(
    judged: Judged,
    demand: CallDemand,
    rejudge: Rejudge<R>,
    ids: { readonly holdId: string; readonly callId: string },
    send: (request: AdmitRequest) => Answer<AdmitVerdict>,
  ): Promise<AdmissionOutcome<R>> {
    const { holdId, callId } = ids;
    const askedAtMs = now();
    let mintedAtMs = askedAtMs;
    let current = judged;
    let nowMs = mintedAtMs;
    let wasStale = false;
    let clockCorrections = 0;
    let seedings = 0;
    let wasTooOld = false;

    for (;;) {
      const { principal, notAfterMs } = current;
      const plan = principal.planFor(demand.model, nowMs);
      const subject = subjectOf(principal, demand);
      const { amounts, clamp, trace } = demand;
      const request = { holdId, leaseMs, mintedAtMs, plan, amounts, clamp, subject, notAfterMs, onAbandoned, trace };
      const hold = { holdId, callId, home: '', subject, takes: plan.takes, amounts, atMs: nowMs, leaseMs, trace };
      // What the ledger has found to be out of date is not decided without it.
      const maxOutageMs = wasStale || seedings > 0 ? undefined : demand.maxOutageMs;
      const { verdict, from } = await ask(() => send(request), request, hold, maxOutageMs);
      switch (verdict.outcome) {
        case 'admitted':
          onGranted(principal.key);
          return granted(verdict, principal, plan);
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
        case 'stale': {
          if (wasStale) throw new StoreUnavailableError('The records changed again while the request was judged');
          wasStale = true;
          forget(verdict.scopeId);
          const again = await rejudge();
          if ('refused' in again) return { outcome: 'rejudged', refused: again.refused };
          current = again.judged;
          nowMs = now();
          break;
        }
        case 'stale_clock':
          clockCorrections += 1;
          if (clockCorrections > maxClockCorrections)
            throw new StoreUnavailableError('The clock of the store is unsteady');
          nowMs = verdict.nowMs;
          break;
        case 'unseeded': {
          seedings += 1;
          if (seedings > maxSeedings) throw new StoreUnavailableError('The ledger could not be seeded');
          const again = await rejudge();
          if ('refused' in again) return { outcome: 'rejudged', refused: again.refused };
          current = again.judged;
          await seed(verdict.scopes, current.principal, nowMs);
          break;
        }
        case 'too_old':
          // It was minted just now: our clock is far behind, or the process stood still. Nothing was taken under the id.
          if (wasTooOld) throw new StoreUnavailableError('The clock of the store is unsteady');
          wasTooOld = true;
          mintedAtMs = await withDeadline(store.now());
          nowMs = mintedAtMs;
          break;
        case 'id_conflict':
          throw new StoreUnavailableError(`The store refused the admission's id: ${verdict.outcome}`);
      }
    }
  }

  async function ask(
    send: () => Answer<AdmitVerdict>,
    request: PlannedRequest,
    hold: Hold,
    maxOutageMs: number | undefined,
  ): Promise<Asked> {
    try {
      const answer = circuit.ask(send);
      const isLater = answer instanceof Promise;
      const verdict = isLater ? await answeredOrGivenUp(answer, hold) : answer;
      if ('remaining' in verdict) lastSeen.remember(request.plan, verdict.remaining, now());
      return { verdict, from: isLater ? 'store_later' : 'store' };
    } catch (error) {
      const verdict = maxOutageMs === undefined ? undefined : decideHere(request, hold, maxOutageMs);
      if (verdict === undefined) throw error;
      return { verdict, from: 'here' };
    }
  }

  async function answeredOrGivenUp(answer: Promise<AdmitVerdict>, hold: Hold): Promise<AdmitVerdict> {
    try {
      return await answer;
    } catch (error) {
      giveUp(hold);
      throw error;
    }
  }

  /**
   * Under an id of its own: what the store was asked for, and may still carry out, is cancelled; this call is settled as
   * one that the store has never heard of. Both happen once for each id, so nothing is charged twice.
   */
  function decideHere(request: PlannedRequest, asked: Hold, maxOutageMs: number): AdmitVerdict | undefined {
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
    for (const { scopeId, nonce } of scopes) {
      const scope = limited.find((candidate) => candidate.scopeId === scopeId);
      if (scope === undefined) continue;
      const openings = await withDeadline(openingsOf(store, scope, nowMs));
      await withDeadline(store.seed(scopeId, nonce, scope.revision, openings));
    }
  }

  function admit<R>(judged: Judged, demand: CallDemand, rejudge: Rejudge<R>): Promise<AdmissionOutcome<R>> {
    const nowMs = now();
    const denied = denials.find(judged.principal.planFor(demand.model, nowMs), demand, nowMs);
    if (denied !== undefined) return Promise.resolve(denied);
    const holdId = randomId();
    return negotiate(judged, demand, rejudge, { holdId, callId: '' }, (request) => store.admit(request));
  }

  return {
    admit,
    extend(hold, judged, demand, rejudge) {
      // The store does not know what was admitted in its place: a call under it is one of its own.
      if (localLedger.has(hold.holdId)) return admit(judged, demand, rejudge);
      const callId = randomId();
      const { replacesFirst } = demand;
      return negotiate(judged, demand, rejudge, { holdId: hold.holdId, callId }, (request) =>
        store.extend({ ...request, hold, callId, replacesFirst }),
      );
    },
  };
}

function subjectOf({ key }: Principal, { model, endpoint }: CallDemand): UsageSubject {
  return { keyId: key.id, ownerId: key.ownerId, teamId: key.teamId, model, endpoint };
}
