import assert from 'node:assert/strict';
import type { KeyInput } from '../../../lib/keys/key-input.ts';
import { readReply, replies } from '../../../lib/litellm/client/replies.ts';
import { differences } from '../../../lib/litellm/twin/differences.ts';
import { twinSettings } from '../../../lib/litellm/twin/twin-settings.ts';
import { type TwinOptions, type WantedTwin, wantedTwin } from '../../../lib/litellm/twin/wanted-twin.ts';
import { createKey, testService } from '../../support/service.ts';

const nowMs = Date.UTC(2025, 5, 15, 12);
const served = ['gpt-4o', 'gpt-4o-mini', 'claude-sonnet-4', 'openai/*'];

async function twinOf(fields: Partial<KeyInput>, options: Partial<TwinOptions> = {}): Promise<WantedTwin> {
  const { key } = await createKey(testService(), fields);
  return wantedTwin(
    { key, status: key.status, endsAtMs: null },
    {
      ...{ deploymentId: 'test', limits: 'twin', isEnterprise: false, models: 'all', served, groups: ['best'], nowMs },
      ...options,
    },
  );
}

describe('wantedTwin', () => {
  const modelCases: readonly (readonly [
    title: string,
    models: readonly string[],
    options: Partial<TwinOptions>,
    twin: readonly string[],
    blocked: boolean,
  ])[] = [
    ['no model is a blocked twin', [], {}, ['no-default-models'], true],
    ['every model is an empty list', ['*', 'gpt-4o'], {}, [], false],
    ['every model is listed where that is asked for', ['*'], { models: 'listed' }, [...served].sort(), false],
    [
      'every model of a server without one is a blocked twin',
      ['*'],
      { models: 'listed', served: [] },
      ['no-default-models'],
      true,
    ],
    ['a pattern is the models that it matches', ['gpt-4o*'], {}, ['gpt-4o', 'gpt-4o-mini'], false],
    ['a pattern that matches none is a blocked twin', ['mistral*'], {}, ['no-default-models'], true],
    ['a name stays, also one that is not served', ['o9', 'gpt-4o'], {}, ['gpt-4o', 'o9'], false],
    ['words for every model are none', ['all-proxy-models', 'all-team-models'], {}, ['no-default-models'], true],
    ['a group is none, unless a model has its name', ['best', 'gpt-4o'], {}, ['gpt-4o'], false],
    ['a model with the name of a group is a model', ['best'], { served: ['best'] }, ['best'], false],
  ];
  for (const [title, models, options, expected, blocked] of modelCases) {
    it(title, async () => {
      const twin = await twinOf({ models: [...models] }, options);
      assert.deepEqual([twin.models, twin.blocked], [expected, blocked]);
    });
  }

  const budgetCases: readonly (readonly [duration: string, theirs: string | null, warned: boolean])[] = [
    ['hourly', '1h', false],
    ['daily', '1d', false],
    ['weekly', '7d', false],
    ['monthly', '1mo', false],
    ['yearly', null, false],
    ['total', null, false],
    ['3mo', null, false],
    ['1mo', '1mo', true],
    ['90s', '90s', true],
    ['30d', '30d', true],
  ];
  for (const [budgetDuration, theirs, warned] of budgetCases) {
    it(`a budget that is ${budgetDuration} is ${theirs} there`, async () => {
      const twin = await twinOf({ maxBudget: 5, budgetDuration });
      assert.deepEqual([twin.max_budget, twin.budget_duration, twin.warnings.length], [5, theirs, warned ? 1 : 0]);
    });
  }

  it('the first of several budgets is held there, with a word on the others', async () => {
    const budgets = [
      { maxBudget: 1, budgetDuration: 'daily' },
      { maxBudget: 9, budgetDuration: 'monthly' },
    ];
    const twin = await twinOf({ budgets });
    assert.deepEqual([twin.max_budget, twin.budget_duration], [1, '1d']);
    assert.deepEqual(twin.warnings, ['LiteLLM holds the first budget; the others are held here']);
    assert.equal((await twinOf({ maxBudget: 3, budgets })).max_budget, 3);
    assert.equal((await twinOf({ maxBudget: 0 })).max_budget, 0);
  });

  it('says what LiteLLM does not hold', async () => {
    const twin = await twinOf({
      rpdLimit: 5,
      tpdLimit: 5,
      softBudget: 1,
      allowedIps: ['127.0.0.1'],
      endpoints: ['/v1/*'],
    });
    assert.deepEqual(twin.warnings, ['LiteLLM does not hold softBudget, rpdLimit, tpdLimit, endpoints, allowedIps']);
    assert.deepEqual((await twinOf({ modelMaxBudget: { 'gpt-4o': 1 } })).model_max_budget, {});
    assert.deepEqual((await twinOf({ modelMaxBudget: { 'gpt-4o': 1 } }, { isEnterprise: true })).model_max_budget, {
      'gpt-4o': { budget_limit: 1, time_period: null },
    });
  });

  it('limits of a pattern are those of the models that it matches, the lowest of several', async () => {
    const { model_rpm_limit } = await twinOf({ modelRpmLimit: { 'gpt-4o*': 9, 'gpt-4o': 4 } });
    assert.deepEqual(model_rpm_limit, { 'gpt-4o': 4, 'gpt-4o-mini': 9 });
  });

  it('has no limits where all calls pass through us, or where they are only counted', async () => {
    const fields = { rpmLimit: 1, tpmLimit: 1, maxParallelRequests: 1, modelRpmLimit: { 'gpt-4o': 1 } };
    const none = { rpm_limit: null, tpm_limit: null, max_parallel_requests: null, model_rpm_limit: {} };
    for (const twin of [
      await twinOf({ ...fields, maxBudget: 1 }, { limits: 'ours' }),
      await twinOf({ ...fields, rateLimitEnabled: false }),
    ]) {
      const { rpm_limit, tpm_limit, max_parallel_requests, model_rpm_limit } = twin;
      assert.deepEqual({ rpm_limit, tpm_limit, max_parallel_requests, model_rpm_limit }, none);
    }
  });

  it('holds of what is too large as much as LiteLLM can', async () => {
    assert.equal((await twinOf({ maxParallelRequests: 2 ** 40 })).max_parallel_requests, 2_147_483_647);
  });

  it('is closed when it has less than two seconds left', async () => {
    const fields = { expiresAt: nowMs + 60_000 };
    assert.equal((await twinOf(fields)).blocked, false);
    assert.equal((await twinOf(fields, { nowMs: nowMs + 58_000 })).blocked, false);
    assert.equal((await twinOf(fields, { nowMs: nowMs + 58_001 })).blocked, true);
  });
});

describe('twinSettings', () => {
  it('never reopens, never sends an empty limit, and ends no later than the key', async () => {
    const wanted = await twinOf({ models: ['gpt-4o'], expiresAt: nowMs + 10_999 });
    const settings = twinSettings(wanted, 'a_1', { nowMs });
    assert.equal(settings.duration, '10s');
    assert.ok(!('blocked' in settings) && !('model_max_budget' in settings));
    assert.equal(twinSettings({ ...wanted, blocked: true }, 'a_1', { nowMs }).blocked, true);
  });
});

describe('differences', () => {
  /** A twin that was made as it was to be, and changed since. */
  function fieldsOf(wanted: WantedTwin, changes: object = {}): readonly string[] {
    const made = { key_alias: 'a_1', models: ['gpt-4o'], metadata: { express_llm_keys: wanted.mark }, ...changes };
    return differences(wanted, 'a_1', readReply(replies.key, '/key/info', made)).map(({ field }) => field);
  }

  it('finds none in a twin that is as it should be', async () => {
    assert.deepEqual(fieldsOf(await twinOf({ models: ['gpt-4o'] })), []);
  });

  it('takes the 15 digits that LiteLLM keeps of an amount for all of them, and no amount that is a nano-dollar off', async () => {
    const wanted = await twinOf({ models: ['gpt-4o'], maxBudget: 8_999_999.123456789 });
    assert.deepEqual(fieldsOf(wanted, { max_budget: 8_999_999.12345679 }), []);
    const small = await twinOf({ models: ['gpt-4o'], maxBudget: 12.000000001 });
    assert.deepEqual(fieldsOf(small, { max_budget: 12.000000002 }), ['maxBudget']);
  });

  it('an end may be a minute early, and not a second late', async () => {
    const wanted = await twinOf({ models: ['gpt-4o'], expiresAt: nowMs + 3_600_000 });
    const ends = (ms: number) => fieldsOf(wanted, { expires: new Date(nowMs + ms).toISOString() });
    assert.deepEqual([ends(3_600_000), ends(3_540_000)], [[], []]);
    assert.deepEqual(
      [ends(3_601_000), ends(3_539_000), fieldsOf(wanted)],
      [['expiresAt'], ['expiresAt'], ['expiresAt']],
    );
  });

  it('a twin that has ended with its key needs no other lock', async () => {
    const fields = { models: ['gpt-4o'], expiresAt: nowMs + 60_000 };
    const wanted = await twinOf(fields, { nowMs: nowMs + 60_000 });
    const ends = (ms: number | null) =>
      fieldsOf(wanted, { expires: ms === null ? null : new Date(nowMs + ms).toISOString() });
    assert.deepEqual([ends(60_000), ends(61_000), ends(null)], [[], ['blocked'], ['blocked']]);
  });

  it('names every field that was changed by hand', async () => {
    const wanted = await twinOf({ models: ['gpt-4o'], rpmLimit: 5 });
    const changed = { models: [], rpm_limit: 6, blocked: true, key_alias: 'b', user_id: 'x', metadata: {} };
    assert.deepEqual(fieldsOf(wanted, changed), ['alias', 'models', 'blocked', 'ownerId', 'rpmLimit', 'metadata']);
  });
});
