import assert from 'node:assert/strict';
import type { Hold } from '../../../lib/index.ts';
import type { Fleet } from '../../support/fleet/fleet.ts';
import { until } from '../../support/fleet/until.ts';
import { callMany, type Worker } from '../../support/fleet/worker.ts';

const leaseMs = 2000;
const holdsOfEach = 100;
const tpmLimit = 2000;
const call = { model: 'gpt-4o', tokens: 10, costUsd: 0.1 };

export interface AbandonedHoldOptions {
  /** Whether every service is told of a hold that ended, as those of one process are, or the one that ended it. */
  readonly areAllTold?: boolean;
}

/** Two workers die with open holds, one that charges what it abandons and one that releases it. */
export function abandonedHoldCases(fleet: Fleet, { areAllTold = false }: AbandonedHoldOptions = {}): void {
  describe('after two workers were killed with 100 open holds each', () => {
    let keyId: string;
    let survivors: Abandoned['survivors'];
    let charging: readonly Hold[];
    let releasing: readonly Hold[];

    before(async () => {
      ({ keyId, survivors, charging, releasing } = await abandon(fleet));
    });

    it('has slots and tokens back, and charged money as onAbandoned of each of them says', async () => {
      const [{ keys }] = survivors;
      const { spend, held, limits } = await keys.balance(keyId);
      assert.deepEqual([spend, held], [10, 0]);
      assert.deepEqual(
        limits.map(({ name, used }) => [name, used]),
        [
          // An admitted request stays counted, whatever became of it.
          ['rpm', 2 * holdsOfEach],
          ['tpm', 0],
          ['parallel', 0],
          ['total_budget', 10],
        ],
      );
    });

    it('has told of each hold once, and has one line of usage for it', async () => {
      const lines = await survivors[0].perform('readUsage', keyId);
      const costs = new Map(lines.map(({ holdId, costNanoUsd }) => [holdId, costNanoUsd]));
      assert.deepEqual(countOf(lines.map(({ source }) => source)), { abandoned: 2 * holdsOfEach });
      assert.deepEqual(countOf(charging.map(({ holdId }) => costs.get(holdId))), { 100000000: holdsOfEach });
      assert.deepEqual(countOf(releasing.map(({ holdId }) => costs.get(holdId))), { 0: holdsOfEach });
      const told = await Promise.all(survivors.map((survivor) => survivor.perform('readAbandoned', null)));
      const sum = told.reduce((all, count) => all + count, 0);
      assert.equal(sum, 2 * holdsOfEach * (areAllTold ? survivors.length : 1));
    });

    it('corrects each hold once, when both of the others settle it late at the same time', async () => {
      const [{ keys }] = survivors;
      const settlements = [...charging, ...releasing].map((hold) => [hold, { inputTokens: 3, costUsd: 0.03 }] as const);
      const results = await Promise.all(survivors.map((survivor) => callMany(survivor, 'settle', settlements)));
      const states = countOf(results.flat().map(({ state }) => state));
      assert.deepEqual(states, { late: 2 * holdsOfEach, already: 2 * holdsOfEach });

      const { spend, held, openRequests, limits } = await keys.balance(keyId);
      assert.deepEqual([spend, held, openRequests], [6, 0, 0]);
      assert.equal(limits.find(({ name }) => name === 'tpm')?.used, 3 * 2 * holdsOfEach);
      const { totals } = await keys.usage({ keyId });
      assert.deepEqual([totals.requests, totals.inputTokens, totals.costUsd], [2 * holdsOfEach, 600, 6]);
      const lines = await survivors[0].perform('readUsage', keyId);
      const latest = new Map(lines.map(({ holdId, source, costNanoUsd }) => [holdId, `${source} ${costNanoUsd}`]));
      assert.deepEqual(countOf([...latest.values()]), { 'reported 30000000': 2 * holdsOfEach });
    });

    it('admits as much again as was given back', async () => {
      const spentTokens = 3 * 2 * holdsOfEach;
      const again = await admitMany(survivors[1], keyId, 2 * holdsOfEach);
      assert.equal(again.length, (tpmLimit - spentTokens) / call.tokens);
    });

    it('has nothing held when the first worker comes 25 hours after the others were killed, too', async () => {
      const [{ keys }] = survivors;
      const before = await keys.balance(keyId);
      assert.deepEqual([before.spend, before.held, before.openRequests], [6, 14, 140]);
      await Promise.all(survivors.map((survivor) => survivor.die()));
      const late = await fleet.join({ clockAheadMs: 25 * 3_600_000 });
      const after = await until(
        'All holds end',
        () => late.keys.balance(keyId),
        ({ openRequests }) => openRequests === 0,
      );
      assert.deepEqual([after.spend, after.held], [20, 0]);
      const lines = await late.perform('readUsage', keyId);
      assert.equal(new Set(lines.map(({ holdId }) => holdId)).size, 2 * holdsOfEach + before.openRequests);
      // The windows have passed, too.
      assert.equal((await admitMany(late, keyId, 2 * holdsOfEach)).length, tpmLimit / call.tokens);
    });
  });
}

interface Abandoned {
  readonly keyId: string;
  readonly survivors: readonly [Worker, Worker];
  /** What became of them is charged, or released; handed on before their workers died. */
  readonly charging: readonly Hold[];
  readonly releasing: readonly Hold[];
}

async function abandon(fleet: Fleet): Promise<Abandoned> {
  const workers = await fleet.openEmptyStore((at) => ({ leaseMs, onAbandoned: at === 1 ? 'release' : 'charge' }));
  const [charger, releaser, ...survivors] = workers;
  const [{ keys }] = survivors;
  const { key } = await keys.create({
    name: 'Test',
    models: ['*'],
    rpmLimit: 10_000,
    tpmLimit,
    maxParallelRequests: 2 * holdsOfEach,
    maxBudget: 100,
  });
  const [charging, releasing] = await Promise.all([
    admitMany(charger, key.id, holdsOfEach),
    admitMany(releaser, key.id, holdsOfEach),
  ]);
  assert.equal(charging.length + releasing.length, 2 * holdsOfEach);
  assert.equal((await admitMany(survivors[0], key.id, 1)).length, 0);
  await Promise.all([charger.die(), releaser.die()]);
  await until(
    'All holds of killed workers end',
    () => keys.balance(key.id),
    ({ openRequests }) => openRequests === 0,
  );
  return { keyId: key.id, survivors, charging, releasing };
}

async function admitMany(worker: Worker, keyId: string, count: number): Promise<readonly Hold[]> {
  const answers = await callMany(
    worker,
    'admit',
    Array.from({ length: count }, () => [{ keyId, ...call }] as const),
  );
  return answers.flatMap((answer) => (answer.admitted ? [answer.hold] : []));
}

function countOf(values: readonly unknown[]): { readonly [value: string]: number } {
  const counts: { [value: string]: number } = {};
  for (const value of values.map(String)) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}
