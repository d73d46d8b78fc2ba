import { StoreUnavailableError } from '../errors.ts';
import type { AdmissionOutcome, Granted, LimitStanding, Rejudge } from '../keys/admissions.ts';
import { judge } from '../keys/verification.ts';
import type { Answer, Hold } from '../stores/store.ts';
import type { HttpDemand } from './demand.ts';
import type { Credential, LlmRequest } from './llm-request.ts';
import { accessRefusal } from './model-access.ts';
import type { Refusal } from './refusal.ts';
import type { DescribedRoute } from './route.ts';
import { addressRefusal, rejectionRefusal } from './verify-credential.ts';

/** What became of a request's admission, and how the limits over it stand. */
export type RequestAdmission =
  | { readonly granted: Granted }
  | { readonly refusal: Refusal; readonly standings: readonly LimitStanding[] | undefined };

/** Asks the ledger to hold a request. Where its records turn out to be newer, the request is judged again by them. */
export function admitRequest(
  llm: LlmRequest,
  route: DescribedRoute,
  credential: Credential,
  demand: HttpDemand,
): Answer<RequestAdmission> {
  const { admissions } = llm.service;
  const call = { ...demand, maxOutageMs: llm.maxOutageMs };
  try {
    const outcome = admissions.admit(credential, call, rejudge(llm, route, credential));
    return outcome instanceof Promise ? admittedLater(llm, outcome) : admissionOf(outcome, llm);
  } catch (error) {
    return unavailable(error);
  }
}

/**
 * As {@link admitRequest}, for a call of the handler under the hold of the request. One that names a model takes the
 * place of the request, where none has done so before. One that comes when the hold has ended is held on its own: the
 * handler goes on working after its response.
 */
export async function extendRequest(
  llm: LlmRequest,
  hold: Hold,
  route: DescribedRoute | undefined,
  credential: Credential,
  demand: HttpDemand,
): Promise<RequestAdmission> {
  const { admissions } = llm.service;
  const call = { ...demand, maxOutageMs: llm.maxOutageMs, replacesFirst: demand.model !== null };
  const judgeAgain = rejudge(llm, route, credential);
  try {
    const outcome = await admissions.extend(hold, credential, call, judgeAgain);
    return outcome.outcome === 'hold_ended'
      ? admissionOf(await admissions.admit(llm.credential ?? credential, call, judgeAgain), llm)
      : admissionOf(outcome, llm);
  } catch (error) {
    return unavailable(error);
  }
}

async function admittedLater(llm: LlmRequest, outcome: Promise<AdmissionOutcome<Refusal>>): Promise<RequestAdmission> {
  try {
    return admissionOf(await outcome, llm);
  } catch (error) {
    return unavailable(error);
  }
}

function admissionOf(outcome: AdmissionOutcome<Refusal>, llm: LlmRequest): RequestAdmission {
  if (outcome.outcome === 'granted') return { granted: outcome };
  const standings = 'standings' in outcome ? outcome.standings : undefined;
  return { refusal: refusalOf(outcome, llm), standings };
}

/** @throws any other error than that the store is not available */
function unavailable(error: unknown): RequestAdmission {
  if (error instanceof StoreUnavailableError) return { refusal: { kind: 'store_down' }, standings: undefined };
  throw error;
}

function rejudge(llm: LlmRequest, route: DescribedRoute | undefined, credential: Credential): Rejudge<Refusal> {
  const { secretHashes, address } = credential;
  const { principals, now } = llm.service;
  return async () => {
    const principal = await principals.findByHash(secretHashes, true);
    if (principal === undefined) return { refused: { kind: 'invalid_key' } };
    const verification = judge(principal, secretHashes, now());
    if (!verification.valid) return { refused: rejectionRefusal(verification.reason) };
    const misplaced = addressRefusal(principal, address);
    if (misplaced !== undefined) return { refused: misplaced };
    const refused = route && accessRefusal(principal, route);
    if (refused !== undefined) return { refused };
    const judged = { principal, notAfterMs: verification.notAfterMs, secretHashes, address };
    llm.credential = judged;
    return { judged };
  };
}

function refusalOf(outcome: Exclude<AdmissionOutcome<Refusal>, Granted>, llm: LlmRequest): Refusal {
  switch (outcome.outcome) {
    case 'rejudged':
      return outcome.refused;
    case 'limited': {
      const { reason, scope, limitName, limit, retryAfterMs } = outcome;
      return reason === 'too_large'
        ? { kind: reason, scope, limitName, limit }
        : { kind: reason, scope, limitName, limit, retryAfterMs };
    }
    case 'expired': {
      // The key itself has expired, or only the secret of before a rotation.
      const expiresAtMs = llm.credential?.principal.key.expiresAtMs ?? null;
      const isKeyExpired = expiresAtMs !== null && expiresAtMs === llm.credential?.notAfterMs;
      return isKeyExpired ? { kind: 'closed_key', status: 'expired' } : { kind: 'invalid_key' };
    }
    case 'hold_ended':
      return { kind: 'store_down' };
  }
}
