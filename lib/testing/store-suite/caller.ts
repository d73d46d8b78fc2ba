import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { AdmissionPlan, Limits, ScopeId } from '../../limits/limit.ts';
import { noLimits } from '../../limits/limit.ts';
import { createPlan, type LimitedScope } from '../../limits/plan.ts';
import type {
  AdmitRequest,
  Admitted,
  AdmitVerdict,
  Amounts,
  Clamp,
  ExtendRequest,
  Hold,
  Refused,
  SettleRequest,
  SettleResult,
} from '../../stores/store.ts';
import { nanoUsd } from '../../usage/money.ts';
import type { UsageSubject } from '../../usage/usage.ts';
import type { Session } from './store-case.ts';

export const keyId = '5f0c6e4e-6e0b-4b5e-9a51-0c6a3c1f7d11';
export const keyScope: ScopeId = `key:${keyId}`;

/** What a call asks for; what is left out is the least: one request, no tokens, no money. */
export interface Wish {
  readonly model?: string | null;
  readonly tokens?: number;
  readonly costUsd?: number;
  readonly clamp?: Clamp;
  readonly holdId?: string;
  readonly mintedAtMs?: number;
  readonly notAfterMs?: number | null;
  readonly leaseMs?: number;
  readonly onAbandoned?: AdmitRequest['onAbandoned'];
  readonly subject?: Partial<UsageSubject>;
  readonly trace?: string | null;
  /** Instead of a plan made at this moment. */
  readonly plan?: AdmissionPlan;
}

/** What a call consumed. */
export interface Consumed {
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly cacheReadTokens?: number;
  readonly cacheWriteTokens?: number;
  readonly costUsd?: number;
  readonly model?: string | null;
  readonly source?: SettleRequest['source'];
}

/** Asks a ledger on behalf of one key, under the scopes over it. */
export interface Caller {
  readonly scopes: readonly LimitedScope[];
  /** The same caller, judged by other records. */
  under(...scopes: readonly LimitedScope[]): Caller;
  plan(model?: string | null): AdmissionPlan;
  admitRequest(wish?: Wish): AdmitRequest;
  admit(wish?: Wish): Promise<AdmitVerdict>;
  /** Fails where the call is not admitted. */
  admitted(wish?: Wish): Promise<Admitted>;
  /** The hold of a call that is admitted. */
  hold(wish?: Wish): Promise<Hold>;
  refused(wish?: Wish): Promise<NamedRefusal>;
  extend(
    hold: Hold,
    wish?: Wish & { readonly callId?: string; readonly replacesFirst?: boolean },
  ): Promise<AdmitVerdict>;
  settle(hold: Hold, consumed?: Consumed): Promise<SettleResult>;
}

/** A refusal with the limit that refuses, `<scope>/<limit id>`, in place of its position. */
export type NamedRefusal = Pick<Refused, 'outcome' | 'retryAfterMs'> & { readonly by: string };

/** A scope with a record of revision 1 and these limits. */
export function limited(
  scopeId: ScopeId,
  limits: Partial<Limits> = {},
  fields: Partial<LimitedScope> = {},
): LimitedScope {
  return { scopeId, revision: 1, limits: { ...noLimits, ...limits }, anchorMs: 0, rateLimitEnabled: true, ...fields };
}

/** The key of the caller with these limits. */
export function keyWith(limits: Partial<Limits> = {}, fields: Partial<LimitedScope> = {}): LimitedScope {
  return limited(keyScope, limits, fields);
}

export function createCaller(session: Session, ...scopes: readonly LimitedScope[]): Caller {
  const { store, clock } = session;

  function callRequest(wish: Wish): Omit<AdmitRequest, 'holdId' | 'leaseMs'> {
    const { model = 'gpt-4o', tokens = 0, costUsd = 0 } = wish;
    const amounts: Amounts = { tokens, costNanoUsd: nanoUsd(costUsd) };
    return {
      mintedAtMs: wish.mintedAtMs ?? clock.now(),
      plan: wish.plan ?? caller.plan(model),
      amounts,
      clamp: wish.clamp,
      subject: { keyId, ownerId: 'ann', teamId: 'red', model, endpoint: '/v1/chat/completions', ...wish.subject },
      notAfterMs: wish.notAfterMs ?? null,
      onAbandoned: wish.onAbandoned ?? 'charge',
      trace: wish.trace ?? null,
    };
  }

  const caller: Caller = {
    scopes,
    under: (...others) => createCaller(session, ...others),
    plan: (model = 'gpt-4o') => createPlan(scopes, model, clock.now()),
    admitRequest: (wish = {}) => ({
      ...callRequest(wish),
      holdId: wish.holdId ?? randomUUID(),
      leaseMs: wish.leaseMs ?? 120_000,
    }),
    admit: async (wish) => store.admit(caller.admitRequest(wish)),
    async admitted(wish) {
      const verdict = await caller.admit(wish);
      if (verdict.outcome !== 'admitted') assert.fail(`not admitted: ${JSON.stringify(verdict)}`);
      return verdict;
    },
    hold: async (wish) => (await caller.admitted(wish)).hold,
    async refused(wish) {
      const request = caller.admitRequest(wish);
      return namedRefusal(await store.admit(request), request.plan);
    },
    async extend(hold, wish = {}) {
      const { callId = randomUUID(), replacesFirst = false } = wish;
      const request: ExtendRequest = { ...callRequest(wish), hold, callId, replacesFirst };
      return store.extend(request);
    },
    settle: async (hold, consumed) => store.settle(settlement(hold, consumed)),
  };
  return caller;
}

export function namedRefusal(verdict: AdmitVerdict, plan: AdmissionPlan): NamedRefusal {
  if (verdict.outcome !== 'refused') assert.fail(`not refused: ${JSON.stringify(verdict)}`);
  const { outcome, retryAfterMs, by } = verdict;
  const limit = by === 'max_tokens' ? undefined : plan.limits[by];
  return { outcome, retryAfterMs, by: limit === undefined ? `${by}` : `${limit.scopeId}/${limit.id}` };
}

export function settlement(hold: Hold, consumed: Consumed = {}): SettleRequest {
  const { inputTokens = 0, outputTokens = 0, cacheReadTokens = 0, cacheWriteTokens = 0, costUsd = 0 } = consumed;
  return {
    hold,
    usage: { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens },
    costNanoUsd: nanoUsd(costUsd),
    source: consumed.source ?? 'reported',
    model: consumed.model === undefined ? hold.subject.model : consumed.model,
  };
}

/** A caller whose scopes the ledger knows, without anything counted yet. */
export async function createKnownCaller(session: Session, ...scopes: readonly LimitedScope[]): Promise<Caller> {
  const caller = createCaller(session, ...scopes);
  const verdict = await caller.admit();
  if (verdict.outcome !== 'unseeded') assert.fail(`an empty ledger knows a scope: ${JSON.stringify(verdict)}`);
  for (const { scopeId, nonce } of verdict.scopes) {
    const revision = scopes.find((scope) => scope.scopeId === scopeId)?.revision ?? 0;
    assert.deepEqual(await session.store.seed(scopeId, nonce, revision, []), { state: 'seeded' });
  }
  return caller;
}
