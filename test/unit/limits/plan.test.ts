import assert from 'node:assert/strict';
import type { Limits } from '../../../lib/limits/limit.ts';
import { noLimits } from '../../../lib/limits/limit.ts';
import { budgetsOf, createPlan, type LimitedScope, limitsOf } from '../../../lib/limits/plan.ts';

const nowMs = Date.UTC(2026, 0, 15, 12);
const dayMs = 86_400_000;

function scope(
  scopeId: LimitedScope['scopeId'],
  limits: Partial<Limits>,
  fields: Partial<LimitedScope> = {},
): LimitedScope {
  return {
    scopeId,
    revision: 7,
    limits: { ...noLimits, ...limits },
    anchorMs: nowMs - dayMs / 2,
    rateLimitEnabled: true,
    ...fields,
  };
}

const everything: Partial<Limits> = {
  rpmLimit: 1,
  tpmLimit: 2,
  rpdLimit: 3,
  tpdLimit: 4,
  maxParallelRequests: 5,
  maxTokensPerRequest: 6,
  maxBudgetNanoUsd: 7,
  softBudgetNanoUsd: 8,
  budgetDuration: 'monthly',
  budgets: [{ maxBudgetNanoUsd: 9, budgetDuration: '1d' }],
  modelLimits: [
    { model: 'gpt-4o', rpmLimit: 10, tpmLimit: 11, maxBudget: { maxBudgetNanoUsd: 12, budgetDuration: 'daily' } },
    { model: 'gpt-*', rpmLimit: 13, tpmLimit: null, maxBudget: null },
    { model: '*', rpmLimit: null, tpmLimit: 14, maxBudget: null },
  ],
};

function idsFor(model: string | null, ...scopes: readonly LimitedScope[]): readonly string[] {
  return createPlan(scopes, model, nowMs).limits.map(({ scopeId, id, limit }) => `${scopeId} ${id} ${limit}`);
}

describe('createPlan', () => {
  it('has every limit of a scope that is for the model', () => {
    assert.deepEqual(idsFor('gpt-4o', scope('team:red', everything)), [
      'team:red rpm 1',
      'team:red rpd 3',
      'team:red rpm/gpt-4o 10',
      'team:red rpm/gpt-* 13',
      'team:red tpm 2',
      'team:red tpd 4',
      'team:red tpm/gpt-4o 11',
      'team:red tpm/* 14',
      'team:red parallel 5',
      'team:red main 7',
      'team:red extra/1d 9',
      'team:red budget/gpt-4o 12',
    ]);
  });

  it('leaves limits of other models out', () => {
    const perModel = idsFor('claude-3', scope('team:red', everything)).filter((id) => id.includes('/'));
    assert.deepEqual(perModel, ['team:red tpm/* 14', 'team:red extra/1d 9']);
  });

  it('has requests and concurrency alone for a call without a model', () => {
    const plan = createPlan([scope('key:a', everything)], null, nowMs);
    assert.deepEqual(
      plan.limits.map(({ id }) => id),
      ['rpm', 'rpd', 'parallel'],
    );
    assert.equal(plan.maxTokensPerRequest, null);
    assert.deepEqual([plan.validFromMs, plan.validUntilMs], [0, Number.MAX_SAFE_INTEGER]);
  });

  it('counts the slots and the spend of a key without limits, and nothing of other scopes', () => {
    const scopes = [scope('key:a', {}), scope('user:b', {}), scope('global', {}, { limits: null, revision: 0 })];
    assert.deepEqual(idsFor('gpt-4o', ...scopes), ['key:a parallel null', 'key:a main null']);
  });

  it('counts the spend of other scopes, too, for a soft budget alone', () => {
    const scopes = [scope('key:a', {}), scope('team:c', { softBudgetNanoUsd: 5 })];
    assert.deepEqual(idsFor('gpt-4o', ...scopes), ['key:a parallel null', 'key:a main null', 'team:c main null']);
  });

  it('counts rates that are not enforced, and holds money', () => {
    const ids = idsFor('o1', scope('key:a', { ...everything, modelLimits: [] }, { rateLimitEnabled: false }));
    assert.deepEqual(ids, [
      'key:a rpm null',
      'key:a rpd null',
      'key:a tpm null',
      'key:a tpd null',
      'key:a parallel null',
      'key:a main 7',
      'key:a extra/1d 9',
    ]);
  });

  it('names scopes with their revisions, and each take by its limit', () => {
    const plan = createPlan([scope('key:a', { rpmLimit: 1 }), scope('global', {}, { revision: 0 })], 'o1', nowMs);
    assert.deepEqual(plan.scopes, [
      { scopeId: 'key:a', revision: 7 },
      { scopeId: 'global', revision: 0 },
    ]);
    assert.deepEqual(plan.takes, [
      { scopeId: 'key:a', id: 'rpm', measure: 'requests', windowMs: 60_000, periodStartMs: 0 },
      { scopeId: 'key:a', id: 'parallel', measure: 'concurrency', windowMs: 0, periodStartMs: 0 },
      { scopeId: 'key:a', id: 'main', measure: 'budget', windowMs: 0, periodStartMs: 0 },
    ]);
  });

  it('is valid while all of its periods are the current ones', () => {
    const plan = createPlan([scope('key:a', everything), scope('global', { maxBudgetNanoUsd: 1 })], 'gpt-4o', nowMs);
    // The daily budget of the model began last, and the day from the anchor ends first.
    assert.deepEqual([plan.validFromMs, plan.validUntilMs], [nowMs - dayMs / 2, nowMs + dayMs / 2]);
  });

  it('has the smallest size of a request over all scopes', () => {
    const scopes = [
      scope('key:a', { maxTokensPerRequest: 9 }),
      scope('user:b', {}),
      scope('team:c', { maxTokensPerRequest: 0 }),
      scope('global', { maxTokensPerRequest: 0 }),
    ];
    assert.deepEqual(createPlan(scopes, 'o1', nowMs).maxTokensPerRequest, { limit: 0, scopeIndex: 2 });
    assert.equal(createPlan([scope('key:a', {})], 'o1', nowMs).maxTokensPerRequest, null);
  });
});

describe('limitsOf', () => {
  it('has the limits of every model', () => {
    const ids = limitsOf(scope('key:a', everything), 3, nowMs).map(({ id, scopeIndex }) => `${id} ${scopeIndex}`);
    assert.equal(ids.length, 12);
    assert.ok(ids.every((id) => id.endsWith(' 3')));
  });
});

describe('budgetsOf', () => {
  it('begins with the main budget, for the whole life where no duration is set', () => {
    assert.deepEqual(budgetsOf(noLimits), [
      { id: 'main', name: 'total_budget', model: null, limit: null, duration: 'total' },
    ]);
  });
});
