import assert from 'node:assert/strict';
import type { ScopeBalance } from '../../../lib/stores/store.ts';
import { costOf, type FailedOver, failOverUnderLoad } from '../../support/failover-under-load.ts';

const lagMs = 50;

describe('redisStore: failover to a replica under load', () => {
  let failedOver: FailedOver;

  before(async function () {
    this.timeout(60_000);
    failedOver = await failOverUnderLoad({ lagMs, callers: 16, loadMs: 1500 });
  });

  after(() => failedOver.stop());

  it('has charged whole calls alone: the replica was cut off between two', () => {
    const { balance, events } = failedOver.found;
    const charged = [...events.values()].reduce((sum, { costNanoUsd }) => sum + costNanoUsd, 0);
    assert.ok(events.size > 0);
    assert.equal(spent(balance), charged);
  });

  it('loses of what was answered what the primary did within the lag, at most the rate times the lag', () => {
    const { lost, bound, seenAtMs, behindMs } = failedOver;
    for (const { admittedAtMs = 0 } of lost.admissions) assert.ok(admittedAtMs > seenAtMs);
    for (const { settledAtMs = 0 } of lost.settlements) assert.ok(settledAtMs > seenAtMs);
    assert.ok(lost.admissions.length <= bound.admissions, `${lost.admissions.length} of ${bound.admissions}`);
    assert.ok(lost.settlements.length <= bound.settlements, `${lost.settlements.length} of ${bound.settlements}`);
    // Without anything lost nothing would be proved.
    assert.ok(lost.admissions.length > 0 && lost.settlements.length > 0);
    assert.ok(behindMs < 20 * lagMs, `the replica was ${behindMs} ms behind`);
  });

  it('charges once what is settled again, and marks what the replica had never heard of', async () => {
    const { calls, found, repeated, settleAll, books } = failedOver;
    for (const [{ request }, { state, event }] of repeated) {
      assert.equal(state === 'already', found.events.has(request.holdId), state);
      if (state !== 'already') assert.equal(event?.source, state === 'lost_hold' ? 'lost_hold' : 'reported');
    }
    const again = [...(await settleAll()).values()];
    assert.deepEqual(new Set(again.map(({ state }) => state)), new Set(['already']));
    const { balance, events } = await books();
    const costs = calls.reduce((sum, call) => sum + costOf(call), 0);
    assert.deepEqual([spent(balance), balance.budgets[0]?.heldNanoUsd, balance.openHolds], [costs, 0, 0]);
    assert.equal(events.size, calls.length);
    assert.equal([...events.values()].filter(({ source }) => source === 'lost_hold').length, lostHolds());
  });

  it('does not count requests that the replica had never heard of, and counts all others once', async () => {
    const { windows } = (await failedOver.books()).balance;
    assert.equal(windows.find(({ id }) => id === 'rpm')?.used, failedOver.calls.length - lostHolds());
  });

  function lostHolds(): number {
    return [...failedOver.repeated.values()].filter(({ state }) => state === 'lost_hold').length;
  }
});

function spent({ budgets }: ScopeBalance): number {
  return budgets.reduce((sum, { spentNanoUsd }) => sum + spentNanoUsd, 0);
}
