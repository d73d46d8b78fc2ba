import assert from 'node:assert/strict';
import {
  type AccessSubject,
  isModelName,
  mayUseEndpoint,
  mayUseModel,
  permissionOf,
  usableModels,
} from '../../../lib/keys/model-access.ts';

const permissions = { allowChatCompletions: true, allowEmbeddings: true, allowCompletions: true };
const everything = { models: ['*'], endpoints: null, permissions };
const allowed = { allowed: true };
const refusedBy = (scope: string) => ({ allowed: false, scope });

function subject(key: Partial<AccessSubject['key']>, policies: AccessSubject['policies'] = []): AccessSubject {
  return { key: { ...everything, ...key }, policies };
}

describe('mayUseModel', () => {
  const cases: readonly [models: string[], model: string, mayUse: boolean][] = [
    [['gpt-4'], 'gpt-4', true],
    [['gpt-4'], 'claude-3', false],
    [['gpt-4'], 'gpt-4-turbo', false],
    [['gpt-4'], 'GPT-4', false],
    [['gpt-*'], 'gpt-4', true],
    [['gpt-*'], 'gpt-3.5-turbo', true],
    [['gpt-*'], 'gpt-', true],
    [['gpt-*'], 'claude-3', false],
    [['gpt-*'], 'my-gpt-4', false],
    [['*'], 'anything at all', true],
    [[], 'gpt-4', false],
    [['claude-3', 'gpt-4'], 'gpt-4', true],
    [['gpt.4'], 'gptx4', false],
    [['g*4'], 'gpt-4', false],
    [['__proto__'], '__proto__', true],
    [[], '__proto__', false],
  ];
  for (const [models, model, mayUse] of cases) {
    it(`${mayUse ? 'allows' : 'refuses'} ${model} when the key lists ${JSON.stringify(models)}`, () => {
      assert.deepEqual(mayUseModel(subject({ models }), model), mayUse ? allowed : refusedBy('key'));
    });
  }

  it('refuses what any policy over the key does not list, and names its scope', () => {
    const policies: AccessSubject['policies'] = [
      { scopeId: 'user:u1', policy: { models: ['gpt-*'], endpoints: null } },
      { scopeId: 'team:t1', policy: { models: ['gpt-4o*'], endpoints: null } },
      { scopeId: 'global', policy: { models: null, endpoints: null } },
    ];
    assert.deepEqual(mayUseModel(subject({}, policies), 'gpt-4o-mini'), allowed);
    assert.deepEqual(mayUseModel(subject({}, policies), 'gpt-4'), refusedBy('team'));
    assert.deepEqual(mayUseModel(subject({}, policies), 'claude-3'), refusedBy('user'));
    assert.deepEqual(mayUseModel(subject({ models: ['gpt-4'] }, policies), 'gpt-4o'), refusedBy('key'));
  });

  it('refuses every model when a policy lists none, and takes an absent policy as no narrowing', () => {
    const none = { models: [], endpoints: null };
    assert.deepEqual(mayUseModel(subject({}, [{ scopeId: 'global', policy: none }]), 'gpt-4'), refusedBy('global'));
    assert.deepEqual(mayUseModel(subject({}, [{ scopeId: 'global', policy: null }]), 'gpt-4'), allowed);
  });
});

describe('mayUseEndpoint', () => {
  const chat = '/v1/chat/completions';

  it('refuses embeddings without that permission, and lets chat pass', () => {
    const key = { permissions: { ...permissions, allowEmbeddings: false } };
    assert.deepEqual(mayUseEndpoint(subject(key), '/v1/embeddings'), refusedBy('key'));
    assert.deepEqual(mayUseEndpoint(subject(key), '/v1/EMBEDDINGS/'), refusedBy('key'));
    assert.deepEqual(mayUseEndpoint(subject(key), '/v1beta/models/m:batchEmbedContents'), refusedBy('key'));
    assert.deepEqual(mayUseEndpoint(subject(key), chat), allowed);
  });

  it('refuses all that is not on the list of endpoints, in any case and with any slash at the end', () => {
    const key = { endpoints: ['/v1/chat/*'] };
    assert.deepEqual(mayUseEndpoint(subject(key), chat), allowed);
    assert.deepEqual(mayUseEndpoint(subject(key), '/V1/Chat/Completions/'), allowed);
    assert.deepEqual(mayUseEndpoint(subject(key), '/v1/EMBEDDINGS/'), refusedBy('key'));
    assert.deepEqual(mayUseEndpoint(subject({ endpoints: ['/V1/Chat/COMPLETIONS/'] }), chat), allowed);
    assert.deepEqual(mayUseEndpoint(subject({ endpoints: [] }), chat), refusedBy('key'));
    assert.deepEqual(mayUseEndpoint(subject({ endpoints: ['/v1/chat'] }), chat), refusedBy('key'));
  });

  it('needs every list to allow the endpoint', () => {
    const policies: AccessSubject['policies'] = [
      { scopeId: 'user:u1', policy: null },
      { scopeId: 'team:t1', policy: { models: null, endpoints: ['/v1/embeddings'] } },
    ];
    assert.deepEqual(mayUseEndpoint(subject({}, policies), '/v1/embeddings'), allowed);
    assert.deepEqual(mayUseEndpoint(subject({}, policies), chat), refusedBy('team'));
    assert.deepEqual(mayUseEndpoint(subject({ endpoints: [chat] }, policies), '/v1/embeddings'), refusedBy('key'));
  });

  it('takes either path of an endpoint that has two', () => {
    const alsoAs = '/api/llm/v1/chat/completions';
    assert.deepEqual(mayUseEndpoint(subject({ endpoints: ['/v1/chat/*'] }), chat, { alsoAs }), allowed);
    assert.deepEqual(mayUseEndpoint(subject({ endpoints: ['/api/llm/*'] }), chat, { alsoAs }), allowed);
    assert.deepEqual(mayUseEndpoint(subject({ endpoints: ['/other/*'] }), chat, { alsoAs }), refusedBy('key'));
  });

  it('asks for the permission it is told, whatever the path says', () => {
    const key = { permissions: { ...permissions, allowEmbeddings: false } };
    assert.deepEqual(mayUseEndpoint(subject(key), '/v1/vectors', { permission: 'allowEmbeddings' }), refusedBy('key'));
    assert.deepEqual(mayUseEndpoint(subject(key), '/v1/embeddings', { permission: null }), allowed);
  });
});

describe('permissionOf', () => {
  const cases: readonly [string, string | null][] = [
    ['/v1/chat/completions', 'allowChatCompletions'],
    ['/v1/completions', 'allowCompletions'],
    ['/v1/responses', 'allowChatCompletions'],
    ['/v1/responses/resp_1/cancel', 'allowChatCompletions'],
    ['/v1/messages', 'allowChatCompletions'],
    ['/v1/messages/count_tokens', 'allowChatCompletions'],
    ['/v1beta/models/gemini-2.5-pro:streamGenerateContent', 'allowChatCompletions'],
    ['/v1beta/models/gemini-2.5-pro:countTokens', 'allowChatCompletions'],
    ['/v1beta/models/e:embedContent', 'allowEmbeddings'],
    ['/openai/deployments/x/embeddings/', 'allowEmbeddings'],
    ['/v1/images/generations', null],
    ['/v1/audio/speech', null],
    ['/v1/models', null],
    ['/', null],
  ];
  for (const [path, permission] of cases) {
    it(`is ${permission} for ${path}`, () => assert.equal(permissionOf(path), permission));
  }
});

describe('usableModels', () => {
  it('lists the known models that every list allows, and names that stand in a list outright', () => {
    const policies: AccessSubject['policies'] = [
      { scopeId: 'team:t1', policy: { models: ['gpt-*', 'claude-sonnet-4'], endpoints: null } },
    ];
    const known = ['gpt-4o', 'gpt-4o-mini', 'claude-opus-4', 'gemini-2.5-flash'];
    assert.deepEqual(usableModels(subject({ models: ['gpt-4o', 'gpt-x', 'claude-*'] }, policies), known), [
      'gpt-4o',
      'gpt-x',
      'claude-sonnet-4',
    ]);
    assert.deepEqual(usableModels(subject({ models: [] }, policies), known), []);
    assert.deepEqual(usableModels(subject({ models: ['*'] }), known), known);
  });
});

describe('isModelName', () => {
  it('takes 1 to 256 printable characters', () => {
    for (const name of ['a', 'gpt-4o', 'meta-llama/Llama-3', 'x'.repeat(256), 'modèle', '__proto__']) {
      assert.ok(isModelName(name), name);
    }
    const others = [
      '',
      'x'.repeat(257),
      'a\nb',
      'a\u0000',
      'a\u200bb',
      '\u202egpt',
      '\ud800',
      7,
      null,
      undefined,
      ['gpt-4'],
    ];
    for (const other of others) assert.ok(!isModelName(other), JSON.stringify(other));
  });
});
