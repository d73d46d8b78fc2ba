import { processFleet } from '../support/fleet/fleet.ts';
import { postgresPlace } from '../support/fleet/store-places.ts';
import { abandonedHoldCases } from './cases/abandoned-holds.ts';
import { endedKeyCases } from './cases/ended-keys.ts';
import { limitCases } from './cases/limits.ts';
import { pausedTransactionCases } from './cases/paused-transaction.ts';
import { pausedWorkerCases } from './cases/paused-worker.ts';
import { randomLifeCases } from './cases/random-life/random-life.ts';
import { startAndStop } from './fleet-hooks.ts';

describe('postgresStore in four processes', function () {
  this.timeout(60_000);
  const fleet = processFleet(postgresPlace);
  startAndStop(fleet);
  limitCases(fleet);
  endedKeyCases(fleet);
  randomLifeCases(fleet);
  pausedWorkerCases(fleet);
  pausedTransactionCases(fleet);
  abandonedHoldCases(fleet);
});
