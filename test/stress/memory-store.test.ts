import { memoryFleet } from '../support/fleet/fleet.ts';
import { abandonedHoldCases } from './cases/abandoned-holds.ts';
import { endedKeyCases } from './cases/ended-keys.ts';
import { limitCases } from './cases/limits.ts';
import { randomLifeCases } from './cases/random-life/random-life.ts';
import { startAndStop } from './fleet-hooks.ts';

describe('memoryStore with four services in one process', function () {
  this.timeout(60_000);
  const fleet = memoryFleet();
  startAndStop(fleet);
  limitCases(fleet);
  endedKeyCases(fleet);
  randomLifeCases(fleet);
  abandonedHoldCases(fleet, { areAllTold: true });
});
