import { processFleet } from '../support/fleet/fleet.ts';
import { combinedPlace } from '../support/fleet/store-places.ts';
import { abandonedHoldCases } from './cases/abandoned-holds.ts';
import { emptiedLedgerCases } from './cases/emptied-ledger.ts';
import { endedKeyCases } from './cases/ended-keys.ts';
import { endedRelayCases } from './cases/ended-relay.ts';
import { limitCases } from './cases/limits.ts';
import { pausedWorkerCases } from './cases/paused-worker.ts';
import { randomLifeCases } from './cases/random-life/random-life.ts';
import { startAndStop } from './fleet-hooks.ts';

describe('combineStores over Postgres and Redis in four processes', function () {
  this.timeout(60_000);
  const fleet = processFleet(combinedPlace);
  startAndStop(fleet);
  limitCases(fleet);
  endedKeyCases(fleet);
  randomLifeCases(fleet);
  pausedWorkerCases(fleet);
  endedRelayCases(fleet);
  emptiedLedgerCases(fleet);
  abandonedHoldCases(fleet);
});
