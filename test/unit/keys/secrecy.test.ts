import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import fc from 'fast-check';
import type { KeyEventName } from '../../../lib/keys/events.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { call, createKey, storeWith, testService } from '../../support/service.ts';

const eventNames: readonly KeyEventName[] = [
  'key.created',
  'key.updated',
  'key.rotated',
  'key.revoked',
  'key.deleted',
  'usage.recorded',
  'budget.warning',
  'budget.exceeded',
  'hold.abandoned',
  'record.corrupt',
  'record.outdated',
];

describe('createVirtualKeys: secrets and hashes', () => {
  it('are in no log line, event, audit row, list, answer or error, whatever was done', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(12), { minLength: 20, maxLength: 60 }), async (actions) => {
        const memory = memoryStore();
        const hidden = new Set<string>();
        const hide = (record: { secretHash: string; previousSecret: { secretHash: string } | null }) => {
          for (const hash of [record.secretHash, record.previousSecret?.secretHash ?? '']) {
            for (const part of hash.split(':')) if (part.length > 20) hidden.add(part);
          }
        };
        const store = storeWith(memory, {
          insertKey: (record, ...rest) => {
            hide(record);
            return memory.insertKey(record, ...rest);
          },
          updateKey: (record, ...rest) => {
            hide(record);
            return memory.updateKey(record, ...rest);
          },
        });
        const { keys, clock, log } = testService({ store, pepper: { id: 'p', value: 'sixteen bytes or more' } });
        const seen: unknown[] = [log.lines];
        for (const name of eventNames) keys.on(name, (event) => void seen.push(event));
        keys.addHook({
          after: ({ secret, key }) => {
            seen.push(key);
            if (secret !== null) throw new Error(`could not tell ${secret}`);
          },
        });
        const secrets: string[] = [];
        const made = ({ key, secret }: { key: object; secret: string }) => {
          secrets.push(secret);
          hidden.add(secret);
          return key;
        };
        made(await createKey({ keys }, { ownerId: 'ada' }));
        const ids = async () => (await keys.list({}, { limit: 100 })).items.map(({ id }) => id);
        const act = async (action: number, id: string, secret: string) => {
          switch (action) {
            case 0:
              return made(await createKey({ keys }, { maxBudget: 5 }));
            case 1:
              return made(await keys.rotate(id, { graceSeconds: 60 }));
            case 2:
              return keys.verify(secret);
            case 3:
              return keys.update(id, { rpmLimit: 5 });
            case 4:
              return keys.revoke(id, { reason: 'old' });
            case 5:
              return keys.delete(id);
            case 6:
              return keys.admit(call(id, { costUsd: 0.1 }));
            case 7:
              return keys.get(secret);
            case 8:
              clock.advance(130_000);
              return keys.balance(id);
            case 9:
              return keys.update(id, { [secret]: 1 } as object).catch(() => undefined);
            case 10:
              return keys.recordUsage({ id: `${action}`, keyId: id, model: 'gpt-4o', costUsd: 5 });
            case 11:
              return keys.resetSpend(id);
            default:
              return keys.usage({ groupBy: ['key', 'owner'] });
          }
        };
        for (const [at, action] of actions.entries()) {
          const all = await ids();
          const [id, secret] = [all[at % all.length] ?? 'none', secrets[at % secrets.length] ?? ''];
          seen.push(await act(action, id, secret).catch((error: Error) => [error.message, error.stack, { ...error }]));
        }
        seen.push(await keys.list({}, { limit: 100 }), await keys.audit({}, { limit: 100 }), await keys.health());
        seen.push(await keys.alerts({}, { limit: 100 }));
        seen.push(await memory.usageEvents(null, 1000), await memory.readOutbox(100));
        const text = JSON.stringify(seen) + inspect(seen, { depth: 20, maxArrayLength: null });
        for (const secret of hidden) assert.ok(!text.includes(secret), `found ${secret}`);
        assert.ok(hidden.size >= 2);
      }),
      { numRuns: 20 },
    );
  });

  it('are not what the store keeps: one cannot be had from the other', async () => {
    const memory = memoryStore();
    const stored: unknown[] = [];
    const store = storeWith(memory, {
      insertKey: (record, ...rest) => {
        stored.push(record, rest);
        return memory.insertKey(record, ...rest);
      },
    });
    const { secret } = await createKey(testService({ store }));
    assert.ok(!JSON.stringify(stored).includes(secret));
    assert.ok(!JSON.stringify(stored).includes(secret.slice(10, -6)));
  });
});
