import assert from 'node:assert/strict';
import { createVirtualKeys, type VirtualKeys } from '../../../lib/index.ts';
import { admittedHold, createKey, testLog } from '../../support/service.ts';
import { type SharedStore, sharedStores } from '../../support/shared-stores.ts';

const odd = [
  `o'clock "x" \\' \\\\ -- /* ; drop table keys; */`,
  '$1 $$ ? ?? :name %s %_ {0} #{a}',
  '😀🔑 Größe  \u202eback \u0301',
  '}:h:{records} * [a-z] KEYS[1] ]]',
  '__proto__',
  'null',
  `${'ü€😀'.repeat(63)}xxx`,
];
const refused = ['', ' ', 'a\0b', 'a\nb', '\ud800', 'x'.repeat(10_000), '😀'.repeat(2500)];

const invalid = { code: 'invalid_request' };

for (const [name, open] of sharedStores) {
  describe(`Names of any kind on ${name}`, function () {
    this.timeout(60_000);
    let shared: SharedStore;
    let keys: VirtualKeys;

    before(async () => {
      shared = await open();
      keys = createVirtualKeys({ store: shared.connect(), logger: testLog() });
    });

    after(async () => {
      await keys.close();
      await shared.close();
    });

    for (const text of odd) {
      it(`are kept to the letter, counted and found, such as ${JSON.stringify(text.slice(0, 40))}`, async () => {
        const short = text.slice(0, 64);
        const [pattern] = text.split('*');
        const { key } = await keys.create({
          name: text.slice(0, 255),
          models: [`${pattern}*`],
          ownerId: text,
          teamId: text,
          tags: [short],
          metadata: { [text]: text },
          budgets: [{ maxBudget: 5, budgetDuration: 'total' }],
          modelMaxBudget: { [`${pattern}*`]: 5 },
        });
        await keys.setPolicy({ user: text }, { rpmLimit: 5 });
        await keys.setPolicy({ team: text }, { maxBudget: 1 });
        await keys.update(key.id, { rpmLimit: 7 }, {}, { id: text, userAgent: text });
        const hold = admittedHold(
          await keys.admit({ keyId: key.id, model: text, tokens: 5, costUsd: 0.5, endpoint: '/v1/x', trace: text }),
        );
        assert.equal((await keys.settle(hold, { model: text, inputTokens: 5, costUsd: 0.25 })).state, 'settled');
        const used = { id: text, keyId: key.id, model: text, costUsd: 0.25 };
        assert.equal((await keys.recordUsage(used)).state, 'recorded');
        assert.equal((await keys.recordUsage(used)).state, 'already');

        const shown = await keys.get(key.id);
        assert.deepEqual(
          [shown.name, shown.ownerId, shown.teamId, shown.tags, shown.metadata, shown.spend],
          [text.slice(0, 255), text, text, [short], JSON.parse(JSON.stringify({ [text]: text })), 0.5],
        );
        const { limits } = await keys.balance(key.id);
        assert.deepEqual(
          limits.filter(({ scope }) => scope !== 'key').map(({ scope, name: limit, used }) => [scope, limit, used]),
          [
            ['user', 'rpm', 1],
            ['team', 'total_budget', 0.5],
          ],
        );
        for (const filter of [{ ownerId: text }, { teamId: text }, { tag: short }, { search: text.slice(0, 255) }]) {
          const { items, total } = await keys.list(filter);
          assert.deepEqual([items.map(({ id }) => id), total], [[key.id], 1], Object.keys(filter)[0]);
        }
        for (const filter of [{ ownerId: text }, { teamId: text }, { model: text }]) {
          const { rows } = await keys.usage({ ...filter, groupBy: ['owner', 'team', 'model'] });
          assert.deepEqual(
            rows.map((row) => [row.owner, row.team, row.model, row.costUsd]),
            [[text, text, text, 0.5]],
          );
        }
        const { items } = await keys.audit({ keyId: key.id, action: 'key.updated' });
        assert.deepEqual(
          items.map(({ actor }) => [actor.id, actor.userAgent]),
          [[text, text]],
        );
      });
    }

    for (const text of refused) {
      it(`are refused, such as ${JSON.stringify(text.slice(0, 8))} of ${text.length}`, async () => {
        const { key } = await createKey({ keys });
        const made = { name: 'Test', models: ['*'] };
        const inputs = [{ name: text }, { models: [text] }, { ownerId: text }, { teamId: text }, { tags: [text] }];
        for (const input of inputs) await assert.rejects(keys.create({ ...made, ...input }), invalid);
        await assert.rejects(keys.setPolicy({ user: text }, {}), invalid);
        await assert.rejects(keys.revoke(key.id, { reason: text }), invalid);
        await assert.rejects(keys.usage({ ownerId: text }), invalid);
        await assert.rejects(keys.list({ search: text }), invalid);
        if (text === ' ') return;
        const call = { keyId: key.id, model: 'm', tokens: 1, costUsd: 0 };
        for (const input of [{ model: text }, { trace: text }, { endpoint: text }, { keyId: text }]) {
          await assert.rejects(keys.admit({ ...call, ...input }), invalid, Object.keys(input)[0]);
        }
        const hold = admittedHold(await keys.admit(call));
        await assert.rejects(keys.settle(hold, { model: text, costUsd: 1 }), invalid);
        await keys.settle(hold, { costUsd: 0 });
        await assert.rejects(keys.recordUsage({ id: text, keyId: key.id, costUsd: 1 }), invalid);
        assert.equal((await keys.balance(key.id)).spend, 0);
      });
    }

    it('that are no id find no key, and change none', async () => {
      for (const text of [...odd, ...refused]) {
        await assert.rejects(keys.get(text), { code: 'key_not_found' }, text.slice(0, 20));
        await assert.rejects(keys.revoke(text), { code: 'key_not_found' });
        await assert.rejects(keys.delete(text), { code: 'key_not_found' });
        assert.equal((await keys.verify(text)).valid, false);
      }
    });
  });
}
