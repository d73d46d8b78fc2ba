import type { ScopeKind } from '../limits/limit.ts';

/** The limit that refused: whose it is, and its name there: `rpm`, `monthly_budget`, … */
export interface RefusingLimit {
  readonly scope: ScopeKind;
  readonly limitName: string;
  readonly limit: number;
}

/** Why a request is not let through: one kind for each row of the table that turns it into an answer. */
export type Refusal =
  | { readonly kind: 'missing_key' }
  /** Unknown, malformed, too long, or a secret of somebody else. */
  | { readonly kind: 'invalid_key' }
  /** Two different keys of ours on one request. */
  | { readonly kind: 'ambiguous_key' }
  /** The secret is right, the key is not good any more. */
  | { readonly kind: 'closed_key'; readonly status: 'revoked' | 'disabled' | 'expired' }
  | { readonly kind: 'too_many_bad_keys'; readonly retryAfterMs: number }
  | { readonly kind: 'address' }
  | { readonly kind: 'model'; readonly model: string; readonly scope: ScopeKind }
  | { readonly kind: 'endpoint'; readonly scope: ScopeKind | null }
  /** `retryAfterMs: null`: no wait will help. */
  | (RefusingLimit & { readonly kind: 'requests' | 'tokens' | 'concurrency'; readonly retryAfterMs: number | null })
  | (RefusingLimit & { readonly kind: 'too_large' })
  | (RefusingLimit & { readonly kind: 'budget'; readonly retryAfterMs: number | null })
  | { readonly kind: 'unpriced'; readonly model: string }
  | { readonly kind: 'store_down' }
  | { readonly kind: 'invalid_path' }
  | { readonly kind: 'model_required' }
  | { readonly kind: 'model_conflict' }
  | { readonly kind: 'not_metered'; readonly what: string; readonly param: string | null }
  | { readonly kind: 'invalid_body'; readonly problem: string; readonly param: string | null }
  | { readonly kind: 'body_too_large' }
  | { readonly kind: 'media_type'; readonly expected: string };
