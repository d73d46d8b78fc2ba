import assert from 'node:assert/strict';
import type { Fleet } from '../../support/fleet/fleet.ts';
import { until } from '../../support/fleet/until.ts';
import { callMany } from '../../support/fleet/worker.ts';

const holdsOfEach = 10;
const silenceMs = 25 * 3_600_000;

/** All workers die, and for 25 hours there is none. */
export function longSilenceCases(fleet: Fleet): void {
  it('has nothing held when the first worker comes 25 hours after all were killed', async () => {
    const workers = await fleet.openEmptyStore();
    const [{ keys }] = workers;
    const most = workers.length * holdsOfEach;
    const { key } = await keys.create({ name: 'Test', models: ['*'], maxParallelRequests: most, maxBudget: 10 });
    const calls = Array.from(
      { length: holdsOfEach },
      () => [{ keyId: key.id, model: 'gpt-4o', tokens: 10, costUsd: 0.1 }] as const,
    );
    const answers = await Promise.all(workers.map((worker) => callMany(worker, 'admit', calls)));
    assert.ok(answers.flat().every(({ admitted }) => admitted));
    await Promise.all(workers.map((worker) => worker.die()));

    const late = await fleet.join({ clockAheadMs: silenceMs });
    const balance = await until(
      'All holds end',
      () => late.keys.balance(key.id),
      ({ openRequests }) => openRequests === 0,
    );
    assert.deepEqual([balance.spend, balance.held], [4, 0]);
    const lines = await late.perform('readUsage', key.id);
    assert.deepEqual(
      lines.map(({ source, costNanoUsd }) => [source, costNanoUsd]),
      Array.from({ length: most }, () => ['abandoned', 100_000_000]),
    );
    const again = await callMany(late, 'admit', [...calls, ...calls, ...calls, ...calls]);
    assert.ok(again.every(({ admitted }) => admitted));
  });
}
