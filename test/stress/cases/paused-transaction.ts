import assert from 'node:assert/strict';
import type { ProcessFleet } from '../../support/fleet/fleet.ts';
import type { PostgresAddress } from '../../support/fleet/store-address.ts';
import { until } from '../../support/fleet/until.ts';
import { watchPostgres } from '../../support/services/postgres-activity.ts';

const leaseMs = 2000;

/** A worker is stopped between the two messages of a transaction: it has locked the rows of a key, and does nothing. */
export function pausedTransactionCases(fleet: ProcessFleet): void {
  it('goes on without a worker that is paused in the transaction of a settlement, which it then makes late', async () => {
    const [paused, other] = await fleet.openEmptyStore({ leaseMs });
    const { key } = await other.keys.create({ name: 'Test', models: ['*'], maxParallelRequests: 1, maxBudget: 5 });
    const call = { keyId: key.id, model: 'gpt-4o', tokens: 10, costUsd: 0.1 };
    const held = await paused.keys.admit(call);
    assert.ok(held.admitted);

    const postgres = await watch(fleet.address() as PostgresAddress);
    await postgres.lock(`key:${key.id}`);
    const settling = paused.keys.settle(held.hold, { inputTokens: 4, costUsd: 0.04 }).catch((error) => error.code);
    await until('The settlement waits for the row', postgres.waiting, (count) => count === 1);
    const goOn = await paused.pause();
    try {
      // Its transaction gets the row now, and nobody is there to end it.
      await postgres.unlock();
      await until('The transaction is idle', postgres.idle, (count) => count === 1);
      await until(
        'The slot of the paused worker is free',
        async () => (await other.keys.admit(call)).admitted,
        (isAdmitted) => isAdmitted,
      );
      assert.equal(await postgres.idle(), 0);
      assert.equal((await other.keys.balance(key.id)).spend, 0.1);
    } finally {
      goOn();
      await postgres.end();
    }

    // Its connection was cut off. What became of the settlement is not known, so it is made again.
    assert.equal(await settling, 'store_unavailable');
    const { spend, openRequests } = await until(
      'The settlement is made again',
      () => other.keys.balance(key.id),
      (balance) => balance.spend !== 0.1,
    );
    assert.deepEqual([spend, openRequests], [0.04, 1]);
    const lines = await other.perform('readUsage', key.id);
    assert.deepEqual(
      lines.map(({ holdId, source, costNanoUsd }) => [holdId, source, costNanoUsd]),
      [
        [held.hold.holdId, 'abandoned', 100_000_000],
        [held.hold.holdId, 'reported', 40_000_000],
      ],
    );
    assert.equal((await other.keys.usage({ keyId: key.id })).totals.requests, 1);
  });
}

/** Looks at a store from outside of it. */
async function watch({ url, schema }: PostgresAddress) {
  const { query, count, end } = await watchPostgres(url);
  return {
    async lock(scopeId: string) {
      await query('begin');
      await query(`select from "${schema}".scopes where id = $1 for no key update`, [scopeId]);
    },
    unlock: () => query('rollback'),
    waiting: () => count(`"${schema}"`, "wait_event_type = 'Lock'"),
    idle: () => count(`"${schema}"`, "state = 'idle in transaction'"),
    end,
  };
}
