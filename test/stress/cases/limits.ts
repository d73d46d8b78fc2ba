import assert from 'node:assert/strict';
import type { Balance, Hold, LimitsInput, ScopeKind } from '../../../lib/index.ts';
import type { Fleet } from '../../support/fleet/fleet.ts';
import { until } from '../../support/fleet/until.ts';
import { atOnce, callMany, type Worker } from '../../support/fleet/worker.ts';

const callsOfEach = 250;
/** What fits into the limit that is tested, of the 1,000 calls that four workers make. */
const fitting = 50;
const call = { model: 'gpt-4o', tokens: 10, costUsd: 0.1 };
const trueUsage = { inputTokens: 4, costUsd: 0.04 };
/** Limits that refuse nothing here, of each kind in every scope, so that each scope counts all. */
const roomy = { rpmLimit: 100_000, tpmLimit: 1_000_000, maxParallelRequests: 10_000, maxBudget: 10_000 };

interface TightLimit {
  readonly name: string;
  readonly scope: ScopeKind;
  readonly limit: LimitsInput;
  readonly reason: string;
  /** How many more fit when those that were admitted have settled at less than their estimate. */
  readonly fittingLater: number;
}

const tightLimits: readonly TightLimit[] = [
  { name: '$5.00 of a key', scope: 'key', limit: { maxBudget: 5 }, reason: 'budget', fittingLater: 30 },
  { name: '50 requests of a team', scope: 'team', limit: { rpmLimit: 50 }, reason: 'requests', fittingLater: 0 },
  { name: '500 tokens of a user', scope: 'user', limit: { tpmLimit: 500 }, reason: 'tokens', fittingLater: 30 },
  {
    name: '50 slots of everybody',
    scope: 'global',
    limit: { maxParallelRequests: 50 },
    reason: 'concurrency',
    fittingLater: 50,
  },
];

export interface LimitOptions {
  /**
   * Whether a call may be refused that would fit, because another one was on its way that was refused elsewhere. Then
   * those that were refused are made again.
   */
  readonly refusesTransiently?: boolean;
}

/** Four workers that begin at once, 250 calls each, against limits that 50 calls fit into. */
export function limitCases(fleet: Fleet, { refusesTransiently = false }: LimitOptions = {}): void {
  for (const { name, scope, limit, reason, fittingLater } of tightLimits) {
    it(`admits exactly ${fitting} of 1,000 calls at once into ${name}, and counts no other in any scope`, async () => {
      const workers = await fleet.openEmptyStore();
      const [one, two] = workers;
      const limitsOf = (of: ScopeKind) => (of === scope ? { ...roomy, ...limit } : roomy);
      await one.keys.setPolicy({ user: 'ann' }, limitsOf('user'));
      await one.keys.setPolicy({ team: 'red' }, limitsOf('team'));
      await one.keys.setPolicy('global', limitsOf('global'));
      const owner = { ownerId: 'ann', teamId: 'red' };
      const { key } = await one.keys.create({ name: 'Test', models: ['*'], ...owner, ...limitsOf('key') });

      async function admitAtOnce(): Promise<readonly Hold[]> {
        const calls = Array.from({ length: callsOfEach }, () => [{ keyId: key.id, ...call }] as const);
        const answers = await atOnce(workers, (worker, beginAtMs) => callMany(worker, 'admit', calls, beginAtMs));
        return answers.flat().flatMap((answer) => {
          if (answer.admitted) return [answer.hold];
          assert.deepEqual([answer.scope, answer.reason], [scope, reason]);
          return [];
        });
      }

      /** Makes those calls again and again that were refused. */
      async function admitUntil(count: number, admitted: Hold[]): Promise<readonly Hold[]> {
        await until(
          `${count} calls are admitted`,
          async () => admitted.push(...(await admitAtOnce())),
          (all) => all >= count,
        );
        // They fill the limit: nothing more is admitted.
        return [...admitted, ...(await admitAtOnce())];
      }

      const first = await admitAtOnce();
      const holds = refusesTransiently ? await admitUntil(fitting, [...first]) : first;
      assert.equal(holds.length, fitting);
      assert.equal(new Set(holds.map(({ holdId }) => holdId)).size, fitting);
      await untilCounted(one, key.id, { requests: fitting, slots: fitting, tokens: 500, costUsd: 5 });

      // One process ends them all, whoever has admitted them.
      const settled = await callMany(
        two,
        'settle',
        holds.map((hold) => [hold, trueUsage]),
      );
      assert.deepEqual(new Set(settled.map(({ state }) => state)), new Set(['settled']));
      // For a moment after the last one settled, refusals of before are remembered in other processes.
      const later = await admitUntil(fittingLater, []);
      assert.equal(later.length, fittingLater);
      await untilCounted(one, key.id, {
        requests: fitting + fittingLater,
        slots: fittingLater,
        tokens: 200 + fittingLater * call.tokens,
        costUsd: 2 + fittingLater / 10,
      });
    });
  }
}

interface Counted {
  readonly requests: number;
  readonly slots: number;
  readonly tokens: number;
  readonly costUsd: number;
}

/** Each of the sixteen limits, four kinds in four scopes, has counted the same. */
async function untilCounted({ keys }: Worker, keyId: string, counted: Counted): Promise<void> {
  const { requests: rpm, tokens: tpm, slots: parallel, costUsd: total_budget } = counted;
  const ofEach = Object.entries({ rpm, tpm, parallel, total_budget });
  const expected = ['global', 'key', 'team', 'user']
    .flatMap((scope) => ofEach.map(([name, used]) => `${scope} ${name} ${used}`))
    .toSorted();
  const counts = await until(
    'What a refused admission had taken of other shards is given back',
    async () => countsOf(await keys.balance(keyId)),
    (counts) => counts.join() === expected.join() || counts.length !== expected.length,
  );
  assert.deepEqual(counts, expected);
}

function countsOf({ limits }: Balance): readonly string[] {
  return limits.map(({ scope, name, used }) => `${scope} ${name} ${used}`).toSorted();
}
