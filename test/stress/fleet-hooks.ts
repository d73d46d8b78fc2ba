import type { Fleet } from '../support/fleet/fleet.ts';

/** A machine that is busy with other things takes long for four processes and a server. */
const startMs = 180_000;

/** Starts a fleet before the tests of a suite, and ends it after them. Its stores stay where one failed, to be looked at. */
export function startAndStop(fleet: Fleet): void {
  let hasFailed = false;

  before(function () {
    this.timeout(startMs);
    return fleet.start();
  });

  afterEach(function () {
    hasFailed ||= this.currentTest?.isFailed() === true;
  });

  after(() => fleet.stop({ keep: hasFailed }));
}
