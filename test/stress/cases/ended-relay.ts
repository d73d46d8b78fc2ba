import assert from 'node:assert/strict';
import type { ProcessFleet } from '../../support/fleet/fleet.ts';
import type { StoreAddress } from '../../support/fleet/store-address.ts';
import { until } from '../../support/fleet/until.ts';
import { callMany, type Worker } from '../../support/fleet/worker.ts';
import { watchPostgres } from '../../support/services/postgres-activity.ts';

const callsOfEach = 300;
const costUsd = 0.001;

/** A worker is ended, or stopped, between the statements in which it carries usage into the archive. */
export function endedRelayCases(fleet: ProcessFleet): void {
  it('archives each line once, when every process that carried usage over was killed in the middle of a batch', async () => {
    const workers = await fleet.openEmptyStore();
    const [one] = workers;
    const keyId = await beginArchive(one);
    const archive = await watch(fleet.address());
    try {
      await archive.blockSums();
      await Promise.all(workers.map((worker) => spend(worker, keyId)));
      await until('A batch is under way', archive.waiting, (count) => count > 0);
      await Promise.all(workers.map((worker) => worker.die()));
      assert.equal(await archive.lines(), 1);
      await archive.unblock();
      const late = await fleet.join();
      await assertArchived(late, keyId, 1 + workers.length * callsOfEach);
      assert.equal(await archive.lines(), 1 + workers.length * callsOfEach);
    } finally {
      await archive.end();
    }
  });

  it('archives on while a process stands still within the transaction of a batch, and each line once after it goes on', async () => {
    const [paused, ...others] = await fleet.openEmptyStore();
    // Else another one may have the batch.
    await Promise.all(others.map((worker) => worker.close()));
    const keyId = await beginArchive(paused);
    const archive = await watch(fleet.address());
    let goOn = () => {};
    try {
      await archive.blockSums();
      await spend(paused, keyId);
      await until('A batch is under way', archive.waiting, (count) => count > 0);
      goOn = await paused.pause();
      await archive.unblock();
      await until('The transaction is idle', archive.idle, (count) => count === 1);
      const late = await fleet.join();
      await spend(late, keyId);
      await assertArchived(late, keyId, 1 + 2 * callsOfEach);
      goOn();
      await spend(paused, keyId);
      await assertArchived(late, keyId, 1 + 3 * callsOfEach);
      assert.equal(await archive.lines(), 1 + 3 * callsOfEach);
    } finally {
      goOn();
      await archive.end();
    }
  });
}

/** A key with one call that has reached the archive: so there is a mark already. */
async function beginArchive({ keys }: Worker): Promise<string> {
  const { key } = await keys.create({ name: 'Test', models: ['*'], maxBudget: 100 });
  const call = await keys.admit({ keyId: key.id, model: 'gpt-4o', tokens: 1, costUsd });
  assert.ok(call.admitted);
  await keys.settle(call.hold, { inputTokens: 1, costUsd });
  await until(
    'The first line is archived',
    () => keys.usage({ keyId: key.id }),
    ({ totals }) => totals.requests === 1,
  );
  return key.id;
}

async function spend(worker: Worker, keyId: string): Promise<void> {
  const calls = Array.from({ length: callsOfEach }, () => [{ keyId, model: 'gpt-4o', tokens: 1, costUsd }] as const);
  const admitted = await callMany(worker, 'admit', calls);
  const holds = admitted.flatMap((call) => (call.admitted ? [[call.hold, { inputTokens: 1, costUsd }] as const] : []));
  assert.equal(holds.length, callsOfEach);
  await callMany(worker, 'settle', holds);
}

/** The archive, and the counters, have every call. */
async function assertArchived({ keys }: Worker, keyId: string, calls: number): Promise<void> {
  const { totals } = await until(
    'The usage is archived',
    () => keys.usage({ keyId }),
    (usage) => usage.totals.requests >= calls,
  );
  const expected = Math.round(calls * costUsd * 1000) / 1000;
  assert.deepEqual([totals.requests, totals.costUsd], [calls, expected]);
  assert.equal((await keys.balance(keyId)).spend, expected);
}

/** The archive as it is seen from outside of the store. */
async function watch(address: StoreAddress) {
  if (address.kind !== 'combined') throw new Error('Only a combined store has an archive');
  const { url, schema } = address.records;
  const { query, count, end } = await watchPostgres(url);
  const sums = `"${schema}".usage_hours`;
  return {
    /** A batch that has written its lines waits before their sums. */
    async blockSums() {
      await query('begin');
      await query(`lock table ${sums} in share row exclusive mode`);
    },
    unblock: () => query('rollback'),
    waiting: () => count(sums, "wait_event_type = 'Lock'"),
    idle: () => count(sums, "state = 'idle in transaction'"),
    async lines(): Promise<number | undefined> {
      const [row] = await query(`select count(*)::int from "${schema}".usage_events`);
      return row?.count;
    },
    end,
  };
}
