import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import type { VirtualKey } from '../../../../lib/index.ts';
import { nanoUsd } from '../../../../lib/usage/money.ts';
import type { LifeReport } from '../../../support/fleet/acts/life-log.ts';
import { spendings } from '../../../support/fleet/acts/spendings.ts';
import type { Crew, Fleet } from '../../../support/fleet/fleet.ts';
import { until } from '../../../support/fleet/until.ts';
import { atOnce, callMany, type Worker } from '../../../support/fleet/worker.ts';
import { endsOf } from './ends.ts';
import { secretsAtTheEnd } from './secrets.ts';
import { lostVersions } from './versions.ts';

const keyCount = 200;
/** How long a secret may pass for good where no admission is asked: the default of `cacheMs`. */
const cacheMs = 10_000;
/** `STRESS_SECONDS=60` makes it a long run. */
const durationMs = Number(process.env.STRESS_SECONDS ?? 4) * 1000;
const seed = Number(process.env.STRESS_SEED ?? randomInt(2 ** 31));

interface MadeKey {
  readonly keyId: string;
  readonly secret: string;
}

/** Four workers do at random to 200 keys all that can be done to them; a third of the keys are revoked on the way. */
export function randomLifeCases(fleet: Fleet): void {
  describe(`after 200 keys were changed and used at random in four workers (STRESS_SEED=${seed})`, () => {
    let workers: Crew;
    let reports: readonly LifeReport[];
    let keys: readonly VirtualKey[];

    before(async function () {
      this.timeout(durationMs + 120_000);
      workers = await fleet.openEmptyStore();
      const made = await createKeys(workers[0]);
      reports = await atOnce(workers, (worker, beginAtMs, at) => {
        const toRevoke = made.filter((_, index) => index % 12 === at * 3).map(({ keyId }) => keyId);
        return worker.perform('live', { seed: seed + at, durationMs, keys: made, toRevoke }, beginAtMs);
      });
      keys = await showKeys(workers[1], made);
    });

    it('has done everything, and failed at nothing', () => {
      assert.deepEqual(
        reports.flatMap(({ failures }) => failures),
        [],
      );
      const tried = new Set(reports.flatMap(({ tries }) => Object.keys(tries)));
      assert.equal(tried.size, 9, [...tried].join());
      const { calls } = totals(reports);
      const unsteady = reports.reduce((sum, report) => sum + report.unsteady, 0);
      // It is rare, and less so where the machine is slow.
      assert.ok(unsteady < calls / 10, `${unsteady} calls met two changes in a row, and ${calls} were admitted`);
    });

    it('has admitted no call that began after its secret or its key had ended', () => {
      const { lateUses } = endsOf(reports);
      assert.deepEqual(
        reports.flatMap(({ admitted }) => lateUses(admitted)),
        [],
      );
      assert.deepEqual(
        reports.flatMap(({ verified }) => lateUses(verified, cacheMs)),
        [],
      );
    });

    it('has lost no change', () => {
      assert.deepEqual(lostVersions(reports, keys), []);
    });

    it('takes the latest secret of each key that was not revoked, and no other, in every worker', async () => {
      const { good, ended } = secretsAtTheEnd(reports, keys);
      for (const worker of workers) {
        const countValid = async (secrets: readonly string[]) => {
          const answers = await callMany(
            worker,
            'verify',
            secrets.map((secret) => [secret]),
          );
          return answers.filter(({ valid }) => valid).length;
        };
        // A grace may last yet, and a notice be on its way.
        const isNone = (count: number) => count === 0;
        await until('Secrets that have ended are refused', () => countValid(ended), isNone);
        assert.equal(await countValid(good), good.length);
      }
    });

    it('has spent what was settled, to the nano-dollar, by balances, sums, lines and events', async () => {
      const settled = spendings(reports.flatMap((report) => report.settled)).all();
      assert.ok(settled.length > 0);
      const charged = spendings(reports.flatMap((report) => report.charged)).all();
      assert.deepEqual(charged, settled);

      const shown = keys.filter(({ spend }) => spend > 0).map(({ id, spend }) => [id, nanoUsd(spend)] as const);
      assert.deepEqual(
        new Map(shown.toSorted()),
        new Map(settled.map(({ keyId, costNanoUsd }) => [keyId, costNanoUsd])),
      );

      const [one, , other] = workers;
      const { rows } = await one.keys.usage({ groupBy: ['key'] });
      const sums = rows.map((row) => ({
        keyId: row.key ?? '',
        calls: row.requests,
        costNanoUsd: nanoUsd(row.costUsd),
      }));
      assert.deepEqual(spendings(sums).all(), settled);
      assert.deepEqual(await other.perform('readSpending', null), settled);
    });

    it('holds nothing any more', async () => {
      const balances = await callMany(
        workers[3],
        'balance',
        keys.map(({ id }) => [id]),
      );
      const held = balances.filter((balance) => balance.held !== 0 || balance.openRequests !== 0);
      assert.deepEqual(held, []);
    });
  });
}

async function createKeys(worker: Worker): Promise<readonly MadeKey[]> {
  const inputs = Array.from({ length: keyCount }, (_, at) => [{ name: `Key ${at}`, models: ['*'] }] as const);
  const created = await callMany(worker, 'create', inputs);
  return created.map(({ key, secret }) => ({ keyId: key.id, secret }));
}

function showKeys(worker: Worker, made: readonly MadeKey[]): Promise<readonly VirtualKey[]> {
  return callMany(
    worker,
    'get',
    made.map(({ keyId }) => [keyId]),
  );
}

function totals(reports: readonly LifeReport[]): { readonly calls: number } {
  return { calls: spendings(reports.flatMap(({ settled }) => settled)).calls() };
}
