import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { ProcessFleet } from '../../support/fleet/fleet.ts';
import { until } from '../../support/fleet/until.ts';
import { callMany } from '../../support/fleet/worker.ts';

const maxBudget = 5;
const costUsd = 0.01;
const atOnce = 5;
const timesEmptied = 3;

/** The Redis of a combined store loses all that it has while four workers spend a budget. */
export function emptiedLedgerCases(fleet: ProcessFleet): void {
  it('begins no budget anew when the ledger is emptied again and again while four workers spend it', async () => {
    const workers = await fleet.openEmptyStore();
    const [one] = workers;
    const { key } = await one.keys.create({ name: 'Test', models: ['*'], maxBudget, teamId: 'red' });
    await one.keys.setPolicy('global', { maxBudget: 1000, budgetDuration: '1mo' });
    await one.keys.setPolicy({ team: 'red' }, { maxBudget, budgetDuration: '1mo' });
    let settled = 0;
    let isOver = false;

    const spending = workers.map(async (worker) => {
      for (let refusals = 0; !isOver && refusals < 20; ) {
        const calls = Array.from(
          { length: atOnce },
          () => [{ keyId: key.id, model: 'm', tokens: 1, costUsd }] as const,
        );
        // While a scope is seeded a call may be told that the store is not there.
        const answers = await callMany(worker, 'admit', calls).catch(() => undefined);
        const holds = (answers ?? []).flatMap((call) => (call.admitted ? [call.hold] : []));
        if (holds.length > 0) {
          const usage = { inputTokens: 1, costUsd };
          await callMany(
            worker,
            'settle',
            holds.map((hold) => [hold, usage] as const),
          );
          settled += holds.length;
          refusals = 0;
        } else if (answers !== undefined) {
          refusals += 1;
        }
        await sleep(100);
      }
    });

    const ledger = await emptying(fleet);
    for (let times = 0; times < timesEmptied; times += 1) {
      const before = settled;
      await until(
        'Calls are admitted',
        async () => settled,
        (now) => now >= before + 20,
      );
      await ledger.empty();
    }
    await Promise.all(spending);
    isOver = true;
    await ledger.end();

    const { totals } = await until(
      'The usage is archived',
      () => one.keys.usage({ keyId: key.id }),
      ({ totals: { costUsd: archived } }) => archived >= maxBudget - costUsd / 2,
    );
    // What was held when the counters went has room twice.
    const most = maxBudget + timesEmptied * workers.length * atOnce * costUsd;
    assert.ok(totals.costUsd <= most, `${totals.costUsd} of ${maxBudget} were spent, and ${most} at most`);
    // What was lost is what had not reached the archive: a second of calls each time, and not all that was spent before.
    const lost = settled * costUsd - totals.costUsd;
    assert.ok(lost < maxBudget, `${lost} of ${settled * costUsd} were lost`);
    assert.equal((await one.keys.balance(key.id)).spend, totals.costUsd);
  });
}

async function emptying(fleet: ProcessFleet) {
  const address = fleet.address();
  if (address.kind !== 'combined') throw new Error('Only a combined store has a ledger of its own');
  const { url, prefix } = address.ledger;
  const client = new Redis(url);
  return {
    /** Of this store alone: others may be on the server. In one act, as a server that lost its memory. */
    async empty() {
      const script = "for _, name in ipairs(redis.call('keys', ARGV[1])) do redis.call('del', name) end";
      await client.eval(script, 0, `${prefix}*`);
    },
    end: async () => client.disconnect(),
  };
}
