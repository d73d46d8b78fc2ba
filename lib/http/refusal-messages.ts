import type { ScopeKind } from '../limits/limit.ts';
import type { Refusal, RefusingLimit } from './refusal.ts';

/** Waits up to here are told in the message: some clients read them from there. */
const shortWaitMs = 61_000;

const measures: { readonly [limitName: string]: string } = {
  rpm: 'requests per minute',
  rpd: 'requests per day',
  tpm: 'tokens per minute',
  tpd: 'tokens per day',
  model_rpm: 'requests per minute for this model',
  model_tpm: 'tokens per minute for this model',
  parallel: 'requests at once',
  max_tokens_per_request: 'tokens per request',
};

/**
 * What a refusal says to people. Clients look for words: LangChain gives up on "quota exhausted", and waits where it
 * reads "try again in", so messages about rates must not speak of quotas, and messages about budgets must.
 */
export function refusalMessage(refusal: Refusal): string {
  switch (refusal.kind) {
    case 'missing_key':
      return 'No API key was given. Send it as "Authorization: Bearer <key>".';
    case 'invalid_key':
      return 'The API key is not valid.';
    case 'ambiguous_key':
      return 'The request carries two different API keys. Send one.';
    case 'closed_key':
      return closedMessages[refusal.status];
    case 'too_many_bad_keys':
      return 'Too many requests with keys that are not valid came from this address.';
    case 'address':
      return 'This API key may not be used from this address.';
    case 'model':
      return `The model ${JSON.stringify(refusal.model)} is not allowed for ${holders[refusal.scope]}.`;
    case 'endpoint':
      return refusal.scope === null
        ? 'This endpoint is not available here.'
        : `This endpoint is not permitted for ${holders[refusal.scope]}.`;
    case 'requests':
    case 'tokens':
    case 'concurrency':
      return `Rate limit reached: ${allowance(refusal)}.${advice(refusal.retryAfterMs)}`;
    case 'too_large':
      return `The request may take more tokens than can ever be let through: ${allowance(refusal)}. Send less, or lower its output cap.`;
    case 'budget':
      return `Quota exhausted: the ${budget(refusal.limitName)} of ${holders[refusal.scope]} cannot pay for this request and its longest possible answer.`;
    case 'unpriced':
      return `The model ${JSON.stringify(refusal.model)} has no price, so it cannot be used under a budget.`;
    case 'store_down':
      return 'The request cannot be checked at the moment. Try again.';
    case 'invalid_path':
      return 'The path of the request is not valid.';
    case 'model_required':
      return 'The request names no model.';
    case 'model_conflict':
      return 'The request names different models.';
    case 'not_metered':
      return `${refusal.what} cannot be metered, so it is not available here.`;
    case 'invalid_body':
      return refusal.problem;
    case 'body_too_large':
      return 'The body of the request is too large.';
    case 'media_type':
      return `The body must be ${refusal.expected}.`;
  }
}

const closedMessages = {
  revoked: 'The API key has been revoked.',
  disabled: 'The API key is disabled.',
  expired: 'The API key has expired.',
};

const holders: { readonly [scope in ScopeKind]: string } = {
  key: 'this API key',
  user: "the key's owner",
  team: "the key's team",
  global: 'the whole service',
};

/** A key's own figure is its holder's to know; those it shares with others are not told. */
function allowance({ scope, limitName, limit }: RefusingLimit): string {
  const measure = measures[limitName] ?? limitName;
  return scope === 'key' ? `this API key may have ${limit} ${measure}` : `${measure} of ${holders[scope]}`;
}

function advice(retryAfterMs: number | null): string {
  if (retryAfterMs === null || retryAfterMs > shortWaitMs) return '';
  return ` Please try again in ${Math.max(1, Math.ceil(retryAfterMs / 100)) / 10}s.`;
}

/** `monthly_budget` → `monthly budget`. */
function budget(limitName: string): string {
  return limitName.replaceAll('_', ' ');
}
