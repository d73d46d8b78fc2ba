import assert from 'node:assert/strict';
import type { CallsMade } from '../../support/fleet/acts/calling.ts';
import type { Fleet } from '../../support/fleet/fleet.ts';
import type { Worker } from '../../support/fleet/worker.ts';

/** Each is a race of its own. */
const races = 3;

interface Ending {
  readonly method: 'revoke' | 'rotate';
  /** 50 callers together, who all have the key in their caches when it ends. */
  readonly callers: readonly { readonly bySecret: number; readonly byId: number }[];
}

const revocation: Ending = {
  method: 'revoke',
  callers: [
    { bySecret: 8, byId: 9 },
    { bySecret: 9, byId: 8 },
    { bySecret: 8, byId: 8 },
  ],
};
/** Which does not end the key for those who call it by its id. */
const rotation: Ending = {
  method: 'rotate',
  callers: [
    { bySecret: 17, byId: 0 },
    { bySecret: 17, byId: 0 },
    { bySecret: 16, byId: 0 },
  ],
};

/** Callers go on and on in three workers while a fourth one ends their key or their secret. */
export function endedKeyCases(fleet: Fleet): void {
  it('refuses every call of 50 callers in three workers that begins after a fourth has revoked their key', () =>
    assertNoneIsLate(fleet, revocation));

  it('refuses every call of 50 callers in three workers that begins after a fourth has rotated their secret out', () =>
    assertNoneIsLate(fleet, rotation));
}

async function assertNoneIsLate(fleet: Fleet, { method, callers }: Ending): Promise<void> {
  const [ender, ...others] = await fleet.openEmptyStore();
  for (let race = 0; race < races; race += 1) {
    const { key, secret } = await ender.keys.create({ name: 'Test', models: ['*'], maxBudget: 100 });
    await Promise.all(
      callers.map((count, at) => others[at]?.perform('startCalling', { keyId: key.id, secret, ...count })),
    );
    const endedAtMs = await end(ender, method, key.id);
    const reports = await Promise.all(others.map((worker) => worker.perform('endCalling', null)));
    for (const made of reports.flatMap(({ bySecret, byId }) => [bySecret, byId])) assertNotLate(made, endedAtMs);
  }
}

/** When that was answered. */
async function end(worker: Worker, method: Ending['method'], keyId: string): Promise<number> {
  const { answeredAtMs } = await worker.perform('callService', { method, calls: [[keyId]] });
  return answeredAtMs;
}

function assertNotLate({ admitted, refused, lastAdmittedAtMs }: CallsMade, endedAtMs: number): void {
  assert.equal(admitted > 0, refused > 0, 'Whoever is refused was admitted before');
  assert.ok(lastAdmittedAtMs < endedAtMs, `A call was admitted that began ${lastAdmittedAtMs - endedAtMs} ms too late`);
}
