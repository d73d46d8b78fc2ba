import assert from 'node:assert/strict';
import { createKey, testService } from '../../support/service.ts';

const operator = { id: 'ada', role: 'admin', ip: '10.0.0.1', userAgent: 'curl' };

describe('createVirtualKeys: defaults and maximums', () => {
  const quotas = {
    defaults: { maxBudget: 50, tpmLimit: 5000, rpmLimit: 30, budgetDuration: 'monthly', softBudget: 40 },
    maximums: { maxBudget: 200, tpmLimit: 20_000, rpmLimit: 100 },
  };

  it('fills what the input leaves out, and leaves 0 as it is', async () => {
    const service = testService(quotas);
    const { key } = await createKey(service, { maxBudget: 0 });
    const { maxBudget, tpmLimit, rpmLimit, budgetDuration, softBudget } = key;
    assert.deepEqual(
      { maxBudget, tpmLimit, rpmLimit, budgetDuration, softBudget },
      { ...quotas.defaults, maxBudget: 0 },
    );
  });

  it('lists every field that passes its maximum, unlimited ones too', async () => {
    const service = testService(quotas);
    await assert.rejects(createKey(service, { maxBudget: 500, rpmLimit: null }), {
      code: 'quota_limits_exceeded',
      status: 400,
      message: 'rpmLimit: unlimited exceeds maximum 100; maxBudget: 500 exceeds maximum 200',
      details: [
        { field: 'rpmLimit', message: 'unlimited exceeds maximum 100' },
        { field: 'maxBudget', message: '500 exceeds maximum 200' },
      ],
    });
    const { key } = await createKey(service);
    await assert.rejects(service.keys.update(key.id, { tpmLimit: 20_001 }), { code: 'quota_limits_exceeded' });
    assert.equal((await service.keys.get(key.id)).tpmLimit, 5000);
  });

  it('refuses to store a default above the maximum in force', async () => {
    const { keys } = testService(quotas);
    await assert.rejects(keys.setDefaults({ defaults: { maxBudget: 300 } }), {
      code: 'quota_limits_exceeded',
      status: 400,
    });
    assert.deepEqual(await keys.getDefaults(), { ...quotas, version: 0 });
  });

  it('lets stored defaults take the place of the options, and the stricter maximum hold', async () => {
    const service = testService(quotas);
    const stored = await service.keys.setDefaults(
      { defaults: { rpmLimit: 10 }, maximums: { rpmLimit: 20, tpmLimit: 99_999 } },
      operator,
    );
    assert.deepEqual(stored, {
      defaults: { ...quotas.defaults, rpmLimit: 10 },
      maximums: { maxBudget: 200, tpmLimit: 20_000, rpmLimit: 20 },
      version: 1,
    });
    assert.equal((await createKey(service)).key.rpmLimit, 10);
    const { items } = await service.keys.audit({ target: 'defaults' });
    assert.deepEqual(
      items.map(({ action, before, after, actor }) => ({ action, before, after, actor })),
      [
        {
          action: 'defaults.updated',
          before: null,
          after: { defaults: { rpmLimit: 10 }, maximums: { rpmLimit: 20, tpmLimit: 99_999 } },
          actor: operator,
        },
      ],
    );
  });
});
