import assert from 'node:assert/strict';
import fc from 'fast-check';
import { InvalidRequestError, isLlmKeysError, type LlmKeysError, type Problem } from '../../../lib/errors.ts';
import { parseRevokeOptions, parseRotateOptions } from '../../../lib/keys/change-options.ts';
import { blankKey, type KeyFields } from '../../../lib/keys/key-fields.ts';
import {
  applyKeyPatch,
  parseDefaultsInput,
  parseKeyInput,
  parsePolicyInput,
  parseScope,
} from '../../../lib/keys/key-schema.ts';
import { rateLimitPresets } from '../../../lib/limits/presets.ts';

const nowMs = Date.UTC(2025, 5, 15, 12);
const dayMs = 86_400_000;
const least = { name: 'Production', models: ['gpt-4o'] };

describe('parseKeyInput', () => {
  it('gives plain fields, with nothing limited that the input does not limit', () => {
    assert.deepEqual(parseKeyInput(least, nowMs), { ...blankKey, name: 'Production', models: ['gpt-4o'] });
  });

  it('turns USD into nano-dollars, days into a moment, and the limits of a model into one entry', () => {
    const input = {
      ...least,
      maxBudget: 25.5,
      softBudget: 0.000_000_001,
      budgetDuration: 'monthly',
      budgets: [{ maxBudget: 1, budgetDuration: '12h' }],
      modelRpmLimit: { 'gpt-4*': 5 },
      modelTpmLimit: { 'gpt-4*': 1000, o3: 7 },
      modelMaxBudget: { o3: 2, 'gpt-4*': { maxBudget: 3, budgetDuration: 'daily' } },
      expiresInDays: 30,
      permissions: { allowEmbeddings: false },
    };
    assert.deepEqual(parseKeyInput(input, nowMs), {
      ...blankKey,
      ...least,
      maxBudgetNanoUsd: 25_500_000_000,
      softBudgetNanoUsd: 1,
      budgetDuration: 'monthly',
      budgets: [{ maxBudgetNanoUsd: 1_000_000_000, budgetDuration: '12h' }],
      modelLimits: [
        {
          model: 'gpt-4*',
          rpmLimit: 5,
          tpmLimit: 1000,
          maxBudget: { maxBudgetNanoUsd: 3_000_000_000, budgetDuration: 'daily' },
        },
        {
          model: 'o3',
          rpmLimit: null,
          tpmLimit: 7,
          maxBudget: { maxBudgetNanoUsd: 2_000_000_000, budgetDuration: 'total' },
        },
      ],
      expiresAtMs: nowMs + 30 * dayMs,
      permissions: { allowChatCompletions: true, allowEmbeddings: false, allowCompletions: true },
    });
  });

  const accepted: readonly [field: string, value: unknown, stored: Partial<KeyFields>][] = [
    ['name', 'x'.repeat(255), { name: 'x'.repeat(255) }],
    ['name', ' 日本 ', { name: ' 日本 ' }],
    ['models', [], { models: [] }],
    ['models', ['*', 'a b', '*'], { models: ['*', 'a b'] }],
    ['modelIds', ['gpt-4o'], {}],
    ['rpmLimit', 0, { rpmLimit: 0 }],
    ['rpmLimit', null, {}],
    ['tpdLimit', Number.MAX_SAFE_INTEGER, { tpdLimit: Number.MAX_SAFE_INTEGER }],
    ['maxBudget', 0, { maxBudgetNanoUsd: 0 }],
    ['maxBudget', 9_000_000, { maxBudgetNanoUsd: 9e15 }],
    ...['hourly', 'daily', 'weekly', 'monthly', 'yearly', 'total', '30d', '1mo', '12h', '90s', '15m'].map(
      (duration) => ['budgetDuration', duration, { budgetDuration: duration }] as [string, unknown, Partial<KeyFields>],
    ),
    ['budgets', null, {}],
    ['modelRpmLimit', null, {}],
    ['endpoints', ['/v1/chat/*', '*'], { endpoints: ['/v1/chat/*', '*'] }],
    ['endpoints', null, {}],
    ['permissions', null, {}],
    ['ownerId', '__proto__', { ownerId: '__proto__' }],
    ['expiresAt', nowMs + 1, { expiresAtMs: nowMs + 1 }],
    ['expiresAt', new Date(nowMs + 1), { expiresAtMs: nowMs + 1 }],
    ['expiresAt', '2025-06-15T14:00:00.001+02:00', { expiresAtMs: nowMs + 1 }],
    ['expiresAt', null, {}],
    ['tags', ['a', 'b', 'a'], { tags: ['a', 'b'] }],
    ['metadata', { team: { lead: ['x', 1, null, true] } }, { metadata: { team: { lead: ['x', 1, null, true] } } }],
    ['metadata', null, {}],
    ['rateLimitEnabled', false, { rateLimitEnabled: false }],
    ['allowedIps', ['10.0.0.0/8', '2001:db8::1', '10.0.0.0/8'], { allowedIps: ['10.0.0.0/8', '2001:db8::1'] }],
    ['allowedIps', [], { allowedIps: [] }],
    ['rateLimitPreset', 'standard', { rateLimitPreset: 'standard', ...rateLimitPresets.standard }],
  ];
  for (const [field, value, stored] of accepted) {
    it(`takes ${field} ${describeValue(value)}`, () => {
      assert.deepEqual(parseKeyInput({ ...least, [field]: value }, nowMs), { ...blankKey, ...least, ...stored });
    });
  }

  const counts = ['rpmLimit', 'tpmLimit', 'rpdLimit', 'tpdLimit', 'maxParallelRequests', 'maxTokensPerRequest'];
  const noCounts = [1.5, -1, '5', Number.NaN, Infinity, JSON.parse('1e309'), 2 ** 53, true, [], {}];
  const noAmounts = [-1, -0.01, '5', Number.NaN, Infinity, 9_000_001, true, []];
  const noDurations = ['1y', 'mo', '30 d', '-1d', '0d', '1.5d', 'Daily', '', 'daily ', 30, '99999999d', '1e3s'];
  const refused: readonly [field: string, value: unknown, problem?: string][] = [
    ...['', '   ', 'x'.repeat(256), 'bad\u0000name', 'two\nlines', 'half \ud800', 5, null].map(
      (name) => ['name', name] as [string, unknown],
    ),
    ['models', null],
    ['models', 'gpt-4o'],
    ['models', [''], 'models.0'],
    ['models', ['a*b'], 'models.0'],
    ['models', ['**'], 'models.0'],
    ['models', ['x'.repeat(257)], 'models.0'],
    ['models', ['ok', 'tab\t'], 'models.1'],
    ['modelIds', ['other']],
    ...counts.flatMap((field) => noCounts.map((value) => [field, value] as [string, unknown])),
    ...['maxBudget', 'softBudget'].flatMap((field) => noAmounts.map((value) => [field, value] as [string, unknown])),
    ...noDurations.map((value) => ['budgetDuration', value] as [string, unknown]),
    ['budgets', [{ maxBudget: 1 }], 'budgets.0.budgetDuration'],
    ['budgets', [{ maxBudget: 1, budgetDuration: '1y' }], 'budgets.0.budgetDuration'],
    ['budgets', [{ maxBudget: 1, budgetDuration: 'daily', x: 1 }], 'budgets.0.x'],
    ['budgets', ['1h', '1h'].map((budgetDuration) => ({ maxBudget: 1, budgetDuration })), 'budgets.1'],
    ['budgets', Array.from({ length: 17 }, (_, at) => ({ maxBudget: 1, budgetDuration: `${at + 1}h` }))],
    ['modelRpmLimit', { 'gpt-4': 1.5 }, 'modelRpmLimit.gpt-4'],
    ['modelRpmLimit', { 'g*t': 1 }, 'modelRpmLimit.g*t'],
    ['modelTpmLimit', { 'gpt-4': null }, 'modelTpmLimit.gpt-4'],
    ['modelMaxBudget', { 'gpt-4': -1 }, 'modelMaxBudget.gpt-4'],
    ['modelMaxBudget', { 'gpt-4': { maxBudget: 1 } }, 'modelMaxBudget.gpt-4.budgetDuration'],
    ['endpoints', ['v1/chat'], 'endpoints.0'],
    ['permissions', { allowChatCompletions: 'yes' }, 'permissions.allowChatCompletions'],
    ['permissions', { allowAll: true }, 'permissions.allowAll'],
    ['ownerId', ''],
    ['teamId', 'x'.repeat(257)],
    ['expiresAt', nowMs],
    ['expiresAt', '2025-06-15T11:59:59Z'],
    ['expiresAt', '2030-02-30T00:00:00Z'],
    ['expiresAt', '2030-01-01T00:00:00'],
    ['expiresAt', 'tomorrow'],
    ['expiresAt', new Date(Number.NaN)],
    ['expiresAt', Infinity],
    ['expiresAt', nowMs + 0.5],
    ['expiresInDays', 0],
    ['expiresInDays', 3651],
    ['expiresInDays', '30'],
    ['rateLimitEnabled', 'false'],
    ['tags', Array.from({ length: 51 }, (_, at) => `t${at}`)],
    ['tags', ['x'.repeat(65)], 'tags.0'],
    ['metadata', []],
    ['metadata', { big: 'x'.repeat(16_384) }],
    ['metadata', { when: new Date() }],
    ['metadata', { run() {} }],
    ['metadata', { count: 1n }],
    ['metadata', { count: Number.NaN }],
    ['allowedIps', ['10.0.0.0/33'], 'allowedIps.0'],
    ['allowedIps', ['localhost'], 'allowedIps.0'],
    ['rateLimitPreset', 'gold'],
    ['__proto__x', 1],
    ['id', 'mine'],
    ['secretHash', 'x'],
  ];
  for (const [field, value, problem = field] of refused) {
    it(`refuses ${field} ${describeValue(value)}`, () => {
      const problems = problemsOf(() => parseKeyInput({ ...least, [field]: value }, nowMs));
      assert.deepEqual([...new Set(problems.map((each) => each.field))], [problem]);
    });
  }

  it('tells every problem of an input', () => {
    const problems = problemsOf(() => parseKeyInput({ rpmLimit: -1, maxBudget: '5', nope: 1, models: ['a*b'] }, nowMs));
    assert.deepEqual(problems, [
      { field: 'rpmLimit', message: 'must be greater than or equal to 0' },
      { field: 'maxBudget', message: 'must be a number' },
      { field: 'models.0', message: 'must not be blank, and may have a * at its end only' },
      { field: 'name', message: 'is required' },
      { field: 'nope', message: 'there is no field "nope"' },
    ]);
  });

  it('takes the shortest for meant where several begin alike', () => {
    const problems = problemsOf(() => parseKeyInput({ ...least, model: 'gpt-4o' }, nowMs));
    assert.deepEqual(problems, [{ field: 'model', message: 'there is no field "model"; did you mean "models"?' }]);
  });

  it('names the field that was probably meant, also in a field of fields', () => {
    const long = 'x'.repeat(500);
    const input = { ...least, rpm: 1, permissions: { allowEmbedding: true }, modelRpmLimit: { 'a*b': 1 }, [long]: 1 };
    assert.deepEqual(
      problemsOf(() => parseKeyInput(input, nowMs)),
      [
        { field: 'modelRpmLimit.a*b', message: 'there is no field "a*b"' },
        {
          field: 'permissions.allowEmbedding',
          message: 'there is no field "allowEmbedding"; did you mean "allowEmbeddings"?',
        },
        { field: 'rpm', message: 'there is no field "rpm"; did you mean "rpmLimit"?' },
        { field: long, message: `there is no field "${'x'.repeat(64)}…"` },
      ],
    );
  });

  it('asks for models', () => {
    assert.deepEqual(
      problemsOf(() => parseKeyInput({ name: 'x' }, nowMs)),
      [{ field: 'models', message: 'is required' }],
    );
  });

  it('refuses an expiry given twice', () => {
    const input = { ...least, expiresAt: nowMs + 1, expiresInDays: 1 };
    assert.deepEqual(
      problemsOf(() => parseKeyInput(input, nowMs)),
      [{ field: 'expiresInDays', message: 'must not be given together with expiresAt' }],
    );
  });

  it('keeps names of the prototype as what they are: names', () => {
    const json =
      '{"name":"x","models":["*"],"modelRpmLimit":{"__proto__":5,"constructor":6},"metadata":{"__proto__":1}}';
    const fields = parseKeyInput(JSON.parse(json), nowMs);
    assert.deepEqual(
      fields.modelLimits.map(({ model, rpmLimit }) => [model, rpmLimit]),
      [
        ['__proto__', 5],
        ['constructor', 6],
      ],
    );
    assert.equal(JSON.stringify(fields.metadata), '{"__proto__":1}');
    const smuggled = JSON.parse('{"name":"x","models":["*"],"__proto__":{"maxBudget":1}}');
    assert.deepEqual(
      problemsOf(() => parseKeyInput(smuggled, nowMs)),
      [{ field: '__proto__', message: 'there is no field "__proto__"' }],
    );
  });

  it('refuses what cannot be read, instead of throwing what is thrown there', () => {
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    let shared: unknown = [];
    for (let depth = 0; depth < 14; depth += 1) shared = Array(10).fill(shared);
    const throwing = {
      ...least,
      get tags() {
        throw new Error('from a getter');
      },
    };
    for (const [input, field] of [
      [{ ...least, metadata: cyclic }, 'metadata'],
      [{ ...least, metadata: { shared } }, 'metadata'],
      [throwing, 'input'],
      [new Proxy({}, { ownKeys: () => [1] as never }), 'input'],
      [undefined, 'input'],
      [null, 'input'],
      ['text', 'input'],
      [[least], 'input'],
      [Symbol('x'), 'input'],
    ] as const) {
      assert.deepEqual(
        problemsOf(() => parseKeyInput(input, nowMs)).map((problem) => problem.field),
        [field],
      );
    }
  });

  it('throws nothing but its own errors, whatever the input', () => {
    const field = fc.oneof(
      fc.constantFrom(...Object.keys(blankKey), 'maxBudget', 'expiresAt', 'expiresInDays', 'modelRpmLimit', 'modelIds'),
      fc.constantFrom('__proto__', 'constructor', 'toString', 'hasOwnProperty', 'then'),
      fc.string(),
    );
    const value = fc.oneof(fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true }));
    fc.assert(
      fc.property(fc.dictionary(field, value), fc.anything(), (fields, metadata) => {
        for (const act of [
          () => parseKeyInput(fields, nowMs),
          () => parseKeyInput({ ...least, metadata }, nowMs),
          () => applyKeyPatch(blankKey, fields, nowMs),
          () => parsePolicyInput(fields),
          () => parseDefaultsInput({ defaults: fields, maximums: fields }),
          () => parseScope(fields),
          () => parseRevokeOptions(fields),
          () => parseRotateOptions(metadata),
        ]) {
          try {
            act();
          } catch (error) {
            if (!isLlmKeysError(error) || error.status !== 400) throw error;
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('applyKeyPatch', () => {
  const current = parseKeyInput(
    {
      ...least,
      rpmLimit: 60,
      tpmLimit: 5000,
      modelRpmLimit: { a: 1 },
      modelTpmLimit: { a: 2, b: 3 },
      permissions: { allowEmbeddings: false },
      tags: ['t'],
      expiresInDays: 1,
    },
    nowMs,
  );

  const patches: readonly [title: string, patch: object, changed: Partial<KeyFields>][] = [
    ['leaves all that an empty patch omits', {}, {}],
    ['changes one limit and leaves the others', { rpmLimit: 10 }, { rpmLimit: 10 }],
    [
      'clears by null',
      { tpmLimit: null, expiresAt: null, tags: null },
      { tpmLimit: null, expiresAtMs: null, tags: [] },
    ],
    ['takes no model for an empty list', { models: [] }, { models: [] }],
    ['knows models by their other name', { modelIds: ['o3'] }, { models: ['o3'] }],
    [
      'changes one permission and leaves the others',
      { permissions: { allowCompletions: false } },
      { permissions: { allowChatCompletions: true, allowEmbeddings: false, allowCompletions: false } },
    ],
    ['permits all again by null', { permissions: null }, { permissions: blankKey.permissions }],
    [
      'changes one kind of limit per model and leaves the other kinds',
      { modelRpmLimit: { b: 9 } },
      {
        modelLimits: [
          { model: 'b', rpmLimit: 9, tpmLimit: 3, maxBudget: null },
          { model: 'a', rpmLimit: null, tpmLimit: 2, maxBudget: null },
        ],
      },
    ],
    [
      'drops the entry of a model that no limit is left of',
      { modelTpmLimit: null },
      { modelLimits: [{ model: 'a', rpmLimit: 1, tpmLimit: null, maxBudget: null }] },
    ],
  ];
  for (const [title, patch, changed] of patches) {
    it(title, () => {
      assert.deepEqual(applyKeyPatch(current, patch, nowMs), { ...current, ...changed });
    });
  }

  it('gives what was chosen only, of a whole record', () => {
    const record = { ...current, id: 'k', secretHash: 'h', version: 3 };
    assert.deepEqual(applyKeyPatch(record, { name: 'New' }, nowMs), { ...current, name: 'New' });
  });

  for (const patch of [{ name: null }, { models: null }, { version: 3 }, { expiresAt: nowMs - 1 }]) {
    it(`refuses ${JSON.stringify(patch)}`, () => {
      assert.throws(() => applyKeyPatch(current, patch, nowMs), { code: 'invalid_request', status: 400 });
    });
  }
});

describe('parsePolicyInput', () => {
  it('tells no list of models, which does not narrow, from an empty one', () => {
    assert.equal(parsePolicyInput({}).models, null);
    assert.equal(parsePolicyInput({ models: null }).models, null);
    assert.deepEqual(parsePolicyInput({ models: [] }).models, []);
  });

  it('refuses fields that only keys have', () => {
    const problems = problemsOf(() => parsePolicyInput({ name: 'x', permissions: {}, rateLimitEnabled: true }));
    assert.deepEqual(problems.map(({ field }) => field).sort(), ['name', 'permissions', 'rateLimitEnabled']);
  });
});

describe('parseDefaultsInput', () => {
  it('gives both, empty where nothing is said', () => {
    assert.deepEqual(parseDefaultsInput({}), { defaults: {}, maximums: {} });
    const input = { defaults: { maxBudget: 50, expiresInDays: 30 }, maximums: { maxBudget: 200 } };
    assert.deepEqual(parseDefaultsInput(input), input);
  });

  it('refuses defaults above their maximum, all of them', () => {
    const input = {
      defaults: { maxBudget: 300, rpmLimit: null, tpmLimit: 5 },
      maximums: { maxBudget: 200, rpmLimit: 9, tpmLimit: 5 },
    };
    assert.throws(() => parseDefaultsInput(input), {
      code: 'quota_limits_exceeded',
      status: 400,
      message: 'rpmLimit: unlimited exceeds maximum 9; maxBudget: 300 exceeds maximum 200',
    });
  });

  it('refuses fields that have no default or no maximum', () => {
    const input = { defaults: { name: 'x', expiresAt: null }, maximums: { softBudget: 1, rpmLimit: null }, more: 1 };
    const problems = problemsOf(() => parseDefaultsInput(input));
    assert.deepEqual(problems.map(({ field }) => field).sort(), [
      'defaults.expiresAt',
      'defaults.name',
      'maximums.rpmLimit',
      'maximums.softBudget',
      'more',
    ]);
  });
});

describe('parseScope', () => {
  it('takes a user, a team, or global', () => {
    assert.equal(parseScope('global'), 'global');
    assert.equal('user' in Object(parseScope({ user: 'u' })), true);
    for (const scope of [
      'all',
      'red',
      { teamId: 'red' },
      {},
      { user: 'u', team: 't' },
      { key: 'k' },
      { user: '' },
      null,
    ]) {
      assert.deepEqual(
        problemsOf(() => parseScope(scope)),
        [{ field: 'scope', message: "must be 'global', { user: id } or { team: id }" }],
      );
    }
  });
});

function problemsOf(act: () => unknown): readonly Problem[] {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof InvalidRequestError, `threw ${String(error)}`);
    return (error as LlmKeysError).details;
  }
  return assert.fail('nothing was refused');
}

function describeValue(value: unknown): string {
  const text =
    typeof value === 'object' && value !== null
      ? JSON.stringify(value, (_key, v) => (typeof v === 'bigint' ? `${v}n` : v))
      : (JSON.stringify(value) ?? String(value));
  return typeof value === 'number' ? String(value) : text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
