import assert from 'node:assert/strict';
import type { Hold } from '../../../lib/index.ts';
import type { Fleet } from '../../support/fleet/fleet.ts';
import type { ProcessWorker } from '../../support/fleet/process-worker.ts';
import { until } from '../../support/fleet/until.ts';
import { callMany } from '../../support/fleet/worker.ts';

const leaseMs = 2000;
const slots = 10;

/** A worker is stopped with open holds, and goes on when their leases are over. */
export function pausedWorkerCases(fleet: Fleet<ProcessWorker>): void {
  it('goes on without a paused worker, which then settles late: at the true cost, in one line, without a second slot', async () => {
    const [paused, other] = await fleet.openEmptyStore({ leaseMs });
    const { key } = await other.keys.create({ name: 'Test', models: ['*'], maxParallelRequests: slots, maxBudget: 5 });
    const calls = Array.from(
      { length: slots },
      () => [{ keyId: key.id, model: 'gpt-4o', tokens: 10, costUsd: 0.1 }] as const,
    );
    const admit = async (worker: ProcessWorker) =>
      (await callMany(worker, 'admit', calls)).flatMap((answer) => (answer.admitted ? [answer.hold] : []));

    const holds = await admit(paused);
    assert.equal(holds.length, slots);
    const goOn = await paused.pause();
    try {
      assert.deepEqual(await admit(other), []);
      const others: Hold[] = [];
      await until(
        'The slots of the paused worker are free',
        async () => others.push(...(await admit(other))),
        (count) => count >= slots,
      );
      assert.equal(others.length, slots);
      assert.equal((await other.keys.balance(key.id)).spend, 1);
    } finally {
      goOn();
    }

    const [first] = holds;
    assert.ok(first);
    assert.deepEqual(await paused.keys.renew(first), { state: 'ended' });
    const settled = await callMany(
      paused,
      'settle',
      holds.map((hold) => [hold, { inputTokens: 4, costUsd: 0.04 }] as const),
    );
    assert.deepEqual(
      settled,
      holds.map(() => ({ state: 'late', costUsd: 0.04 })),
    );
    const { spend, openRequests } = await other.keys.balance(key.id);
    assert.deepEqual([spend, openRequests], [0.4, slots]);
    const lines = await other.perform('readUsage', key.id);
    const latest = new Map(lines.map((line) => [line.holdId, line]));
    assert.deepEqual(
      holds.map(({ holdId }) => latest.get(holdId)?.costNanoUsd),
      holds.map(() => 40_000_000),
    );
    assert.equal((await other.keys.usage({ keyId: key.id })).totals.requests, slots);
  });
}
