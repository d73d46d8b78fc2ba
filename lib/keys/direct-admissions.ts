import { InvalidRequestError, type Problem } from '../errors.ts';
import type { ScopeKind } from '../limits/limit.ts';
import type { Amounts, Answer, Hold } from '../stores/store.ts';
import { nanoUsd, usd } from '../usage/money.ts';
import { maxTokenCount } from '../usage/usage.ts';
import type { AdmissionOutcome, Admissions, Judged, LimitStanding } from './admissions.ts';
import { mayUseEndpoint, mayUseModel } from './model-access.ts';
import type { Principal } from './principals.ts';
import type { ServiceContext } from './service-context.ts';
import { parseHold, problemsOfCost, problemsOfFields, problemsOfName } from './usage-input.ts';
import { keyStatus } from './virtual-key.ts';

/** A call that code outside any middleware wants to make. */
export interface AdmitInput {
  readonly keyId: string;
  /** `null` for calls without a model: they count as requests only. */
  readonly model: string | null;
  /** Estimate of input and output together. */
  readonly tokens: number;
  /** Estimate; absent: the tokens at the dearer of the model's two rates. */
  readonly costUsd?: number | undefined;
  /** Path of the endpoint, such as `/v1/chat/completions`; absent: not checked. */
  readonly endpoint?: string | undefined;
  /** Free text for the usage record, such as a request id. */
  readonly trace?: string | undefined;
}

export type ExtendInput = Omit<AdmitInput, 'keyId' | 'endpoint'>;

/** What the tightest limit of each kind has left; `null`: there is none. */
export interface Remaining {
  readonly requests: number | null;
  readonly tokens: number | null;
  readonly concurrency: number | null;
  readonly budgetUsd: number | null;
}

export type AdmitReason =
  | 'requests'
  | 'tokens'
  | 'concurrency'
  | 'budget'
  | 'too_large'
  | 'unpriced'
  | 'key'
  | 'model'
  | 'endpoint';

export type AdmitResult =
  | { readonly admitted: true; readonly hold: Hold; readonly remaining: Remaining }
  | {
      readonly admitted: false;
      readonly reason: AdmitReason;
      readonly scope: ScopeKind;
      /** The limit that refused: requests, tokens, calls at once, or USD. `null` where it was no limit. */
      readonly limit: number | null;
      /** Its name, such as `rpm` or `monthly_budget`. */
      readonly limitName: string | null;
      /** `null`: never. */
      readonly retryAfterMs: number | null;
    };

type Refusal = { readonly reason: 'key' | 'model' | 'endpoint' | 'unpriced'; readonly scope: ScopeKind };

/** Admission for code that is not behind the middlewares: jobs, queues, sockets. */
export function createDirectAdmissions(context: ServiceContext, admissions: Admissions) {
  const { principals, pricing, now } = context;

  async function judge(
    input: Omit<AdmitInput, 'tokens'>,
    fresh: boolean,
  ): Promise<{ judged: Judged } | { refused: Refusal }> {
    const principal = await principals.findById(input.keyId, fresh);
    if (principal === undefined || keyStatus(principal.key, now()) !== 'active') {
      return { refused: { reason: 'key', scope: 'key' } };
    }
    const refused = refusedBy(principal, input);
    return refused === undefined ? { judged: { principal, notAfterMs: principal.key.expiresAtMs } } : { refused };
  }

  function refusedBy(principal: Principal, { model, endpoint }: Omit<AdmitInput, 'tokens'>): Refusal | undefined {
    if (model !== null) {
      const access = mayUseModel(principal, model);
      if (!access.allowed) return { reason: 'model', scope: access.scope };
    }
    if (endpoint !== undefined) {
      const access = mayUseEndpoint(principal, endpoint);
      if (!access.allowed) return { reason: 'endpoint', scope: access.scope };
    }
    return undefined;
  }

  function cost({ model, tokens, costUsd }: ExtendInput, principal: Principal): number | undefined {
    if (costUsd !== undefined) return nanoUsd(costUsd);
    if (model === null) return 0;
    const price = pricing.find(model);
    if (price !== undefined) {
      const none = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };
      const asInput = price.costNanoUsd({ ...none, inputTokens: tokens });
      return Math.max(asInput, price.costNanoUsd({ ...none, outputTokens: tokens }));
    }
    return pricing.mayBeUnpriced(hasBudget(principal, model, now())) ? 0 : undefined;
  }

  async function ask(
    input: AdmitInput,
    send: (judged: Judged, amounts: Amounts) => Answer<AdmissionOutcome<Refusal>>,
  ): Promise<AdmitResult> {
    const first = await judge(input, false);
    if ('refused' in first) return refusal(first.refused);
    const costNanoUsd = cost(input, first.judged.principal);
    if (costNanoUsd === undefined) return refusal({ reason: 'unpriced', scope: 'key' });
    const tokens = Math.max(input.tokens, input.model === null ? 0 : context.options.minimumTokens);
    return resultOf(await send(first.judged, { tokens, costNanoUsd }));
  }

  return {
    async admit(input: AdmitInput): Promise<AdmitResult> {
      checkInput(input);
      const { model, endpoint = null, trace = null } = input;
      return ask(input, (judged, amounts) =>
        admissions.admit(judged, { model, endpoint, amounts, trace }, () => judge(input, true)),
      );
    },

    async extend(given: Hold, input: ExtendInput): Promise<AdmitResult> {
      const hold = parseHold(given);
      const call = { ...input, keyId: hold.subject.keyId };
      checkInput(call);
      const { model, trace = hold.trace } = input;
      const { endpoint } = hold.subject;
      return ask(call, (judged, amounts) =>
        admissions.extend(hold, judged, { model, endpoint, amounts, trace, replacesFirst: false }, () =>
          judge(call, true),
        ),
      );
    },
  };
}

/** Whether a request for this model is held against any budget. */
export function hasBudget(principal: Principal, model: string | null, nowMs: number): boolean {
  return principal.planFor(model, nowMs).limits.some(({ measure, limit }) => measure === 'budget' && limit !== null);
}

function resultOf(outcome: AdmissionOutcome<Refusal>): AdmitResult {
  switch (outcome.outcome) {
    case 'granted':
      return { admitted: true, hold: outcome.hold, remaining: remainingOf(outcome.standings) };
    case 'rejudged':
      return refusal(outcome.refused);
    case 'expired':
    case 'hold_ended':
      return refusal({ reason: 'key', scope: 'key' });
    case 'limited': {
      const { reason, scope, limitName, retryAfterMs } = outcome;
      const limit = reason === 'budget' ? usd(outcome.limit) : outcome.limit;
      return { admitted: false, reason, scope, limit, limitName, retryAfterMs };
    }
  }
}

function refusal({ reason, scope }: Refusal): AdmitResult {
  return { admitted: false, reason, scope, limit: null, limitName: null, retryAfterMs: null };
}

function remainingOf(standings: readonly LimitStanding[]): Remaining {
  const tightest = (measure: LimitStanding['limit']['measure']): number | null => {
    const left = standings.filter(({ limit }) => limit.measure === measure).map(({ remaining }) => remaining);
    const least = Math.min(...left);
    return Number.isFinite(least) ? least : null;
  };
  const budget = tightest('budget');
  return {
    requests: tightest('requests'),
    tokens: tightest('tokens'),
    concurrency: tightest('concurrency'),
    budgetUsd: budget === null ? null : usd(budget),
  };
}

const fields = ['keyId', 'model', 'tokens', 'costUsd', 'endpoint', 'trace'];

function checkInput(input: AdmitInput): void {
  if (typeof input !== 'object' || input === null) {
    throw new InvalidRequestError([{ field: 'input', message: 'must be an object such as { keyId, model, tokens }' }]);
  }
  const { keyId, model, tokens, costUsd, endpoint, trace } = input;
  const problems: Problem[] = [
    ...problemsOfFields(input, fields),
    ...problemsOfName('keyId', keyId),
    ...problemsOfName('model', model),
    ...problemsOfName('endpoint', endpoint ?? null),
    ...problemsOfName('trace', trace ?? null),
    ...problemsOfCost(costUsd),
  ];
  if (model === null && costUsd !== undefined && costUsd > 0) {
    problems.push({ field: 'costUsd', message: 'needs a model: a call without one takes no money' });
  }
  if (!Number.isInteger(tokens) || tokens < 0 || tokens > maxTokenCount) {
    problems.push({ field: 'tokens', message: `must be a whole number from 0 to ${maxTokenCount}` });
  }
  if (problems.length > 0) throw new InvalidRequestError(problems);
}
