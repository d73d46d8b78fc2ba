import assert from 'node:assert/strict';
import type { KeyInput } from '../../../lib/keys/key-input.ts';
import type { VirtualKey } from '../../../lib/keys/shown-key.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { createKey, testService } from '../../support/service.ts';

const dayMs = 86_400_000;

describe('createVirtualKeys: create', () => {
  it('shows the whole key, and the secret beside it', async () => {
    const { keys, clock } = testService();
    const { key, secret } = await keys.create({
      name: 'Production Key!!',
      models: ['gpt-4o*', 'gpt-4o*'],
      endpoints: ['/v1/chat/*'],
      permissions: { allowEmbeddings: false },
      ownerId: 'ada',
      teamId: 'red',
      expiresInDays: 30,
      rpmLimit: 60,
      maxBudget: 25,
      softBudget: 20,
      budgetDuration: 'monthly',
      budgets: [{ maxBudget: 5, budgetDuration: 'daily' }],
      modelRpmLimit: { 'gpt-4o': 10 },
      modelMaxBudget: { 'gpt-4o': 2 },
      tags: ['prod'],
      metadata: { ticket: 7 },
    });
    const { id, alias, ...rest } = key;
    assert.match(id, /^[0-9a-f-]{36}$/);
    assert.match(alias, /^Production-Key_[0-9a-f]{8}$/);
    assert.match(secret, /^sk-llm-[0-9A-Za-z]{49}$/);
    assert.deepEqual(rest, {
      name: 'Production Key!!',
      prefix: `${secret.slice(0, 8)}…${secret.slice(-4)}`,
      models: ['gpt-4o*'],
      endpoints: ['/v1/chat/*'],
      permissions: { allowChatCompletions: true, allowEmbeddings: false, allowCompletions: true },
      ownerId: 'ada',
      teamId: 'red',
      rateLimitEnabled: true,
      rateLimitPreset: null,
      allowedIps: null,
      tags: ['prod'],
      metadata: { ticket: 7 },
      expiresAt: new Date(clock() + 30 * dayMs).toISOString(),
      rpmLimit: 60,
      tpmLimit: null,
      rpdLimit: null,
      tpdLimit: null,
      maxParallelRequests: null,
      maxTokensPerRequest: null,
      maxBudget: 25,
      softBudget: 20,
      budgetDuration: 'monthly',
      budgets: [{ maxBudget: 5, budgetDuration: 'daily' }],
      modelRpmLimit: { 'gpt-4o': 10 },
      modelTpmLimit: {},
      modelMaxBudget: { 'gpt-4o': { maxBudget: 2, budgetDuration: 'total' } },
      revokedReason: null,
      version: 1,
      createdAt: '2025-06-15T12:00:00.000Z',
      updatedAt: '2025-06-15T12:00:00.000Z',
      lastUsedAt: null,
      status: 'active',
      budgetExceeded: false,
      spend: 0,
      budgetRemaining: 25,
      budgetUtilization: 0,
      budgetResetAt: '2025-07-01T00:00:00.000Z',
      sync: null,
    } satisfies Omit<VirtualKey, 'id' | 'alias'>);
    assert.deepEqual(await keys.get(id), key);
  });

  it('gives two keys of one name two aliases', async () => {
    const service = testService();
    const first = await createKey(service, { name: 'Same', ownerId: 'a' });
    const second = await createKey(service, { name: 'Same', ownerId: 'b' });
    assert.notEqual(first.key.alias, second.key.alias);
  });

  it('tries another alias when the first is taken, and gives up after five', async () => {
    const store = memoryStore();
    let taken = 4;
    let tries = 0;
    const { keys } = testService({
      store: {
        ...store,
        insertKey: async (...insertion) => {
          tries += 1;
          taken -= 1;
          return taken >= 0 ? { outcome: 'alias_taken' } : store.insertKey(...insertion);
        },
      },
    });
    await createKey({ keys });
    assert.equal(tries, 5);
    taken = Infinity;
    await assert.rejects(createKey({ keys }), { code: 'alias_taken', status: 409 });
    assert.equal(tries, 10);
  });

  it('gives a thousand keys a thousand ids, aliases and secrets', async () => {
    const service = testService();
    const made = await Promise.all(Array.from({ length: 1000 }, () => createKey(service)));
    assert.equal(new Set(made.map(({ key }) => key.id)).size, 1000);
    assert.equal(new Set(made.map(({ key }) => key.alias)).size, 1000);
    assert.equal(new Set(made.map(({ secret }) => secret)).size, 1000);
  });

  it('refuses input that makes no sense, naming every problem, and stores nothing', async () => {
    const { keys } = testService();
    const refused: [fields: object, ...names: string[]][] = [
      [{ name: '' }, 'name'],
      [{ name: '   ' }, 'name'],
      [{ name: 'a'.repeat(256) }, 'name'],
      [{ name: 'bad\u0000name' }, 'name'],
      [{ name: 'two\nlines' }, 'name'],
      [{ models: undefined }, 'models'],
      [{ maxBudget: -1 }, 'maxBudget'],
      [{ maxBudget: '5' }, 'maxBudget'],
      [{ maxBudget: Infinity, rpmLimit: Number.NaN }, 'maxBudget', 'rpmLimit'],
      [{ rpmLimit: 1.5, tpmLimit: -2 }, 'rpmLimit', 'tpmLimit'],
      [{ expiresAt: '2025-06-15T11:59:59.999Z' }, 'expiresAt'],
      [{ allowedIps: ['10.0.0.0/33'] }, 'allowedIps.0'],
      [{ rateLimitPreset: 'gold' }, 'rateLimitPreset'],
      ...['1y', 'mo', '30 d', '-1d'].map((budgetDuration): [object, string] => [
        { budgetDuration, maxBudget: 1 },
        'budgetDuration',
      ]),
    ];
    for (const [fields, ...names] of refused) {
      await assert.rejects(
        keys.create({ name: 'x', models: ['*'], ...fields } as KeyInput),
        (error: { code: string; status: number; details: { field: string }[] }) => {
          assert.equal(error.code, 'invalid_request');
          assert.equal(error.status, 400);
          assert.deepEqual(new Set(error.details.map(({ field }) => field)), new Set(names), JSON.stringify(fields));
          return true;
        },
      );
    }
    assert.deepEqual(await keys.list(), { items: [], total: 0, nextCursor: null });
    assert.deepEqual(await keys.audit(), { items: [], total: 0, nextCursor: null });
  });

  it('takes names of up to 255 characters, and every kind of duration', async () => {
    const service = testService();
    await createKey(service, { name: 'a'.repeat(255) });
    for (const budgetDuration of [
      'hourly',
      'daily',
      'weekly',
      'monthly',
      'yearly',
      'total',
      '30d',
      '1mo',
      '12h',
      '90s',
    ]) {
      const { key } = await createKey(service, { maxBudget: 1, budgetDuration });
      assert.equal(key.budgetDuration, budgetDuration);
    }
  });

  it('lets an owner have only so many active keys, however many are created at once', async () => {
    const service = testService({ maxActiveKeysPerOwner: 10 });
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => createKey(service, { ownerId: 'ada' })));
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 10);
    await assert.rejects(createKey(service, { ownerId: 'ada' }), { code: 'owner_key_limit', status: 409 });
    await createKey(service, { ownerId: 'bob' });
    const { items } = await service.keys.list({ ownerId: 'ada' });
    await service.keys.disable(items[0]?.id ?? '');
    await createKey(service, { ownerId: 'ada' });
    await assert.rejects(service.keys.enable(items[0]?.id ?? ''), { code: 'owner_key_limit', status: 409 });
  });
});
