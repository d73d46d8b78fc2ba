import assert from 'node:assert/strict';
import type { Fleet } from '../../support/fleet/fleet.ts';
import type { Worker } from '../../support/fleet/worker.ts';

const keysRevoked = 3;
/** 50 in all. */
const callersOfEach = [17, 17, 16] as const;

/** Callers go on and on while another worker revokes their key. */
export function revocationCases(fleet: Fleet): void {
  it('refuses every call of 50 callers in three workers that begins after a fourth has revoked their key', async () => {
    const [revoker, ...callers] = await fleet.openEmptyStore();
    for (let revoked = 0; revoked < keysRevoked; revoked += 1) {
      const { key, secret } = await revoker.keys.create({ name: 'Test', models: ['*'], maxBudget: 100 });
      const { id: keyId } = key;
      await Promise.all(
        callers.map((worker, at) => worker.perform('startCalling', { keyId, secret, callers: callersOfEach[at] ?? 0 })),
      );
      const revokedAtMs = await revoke(revoker, keyId);
      const reports = await Promise.all(callers.map((worker) => worker.perform('endCalling', null)));
      for (const { admitted, lastAdmittedAtMs } of reports.flatMap(({ bySecret, byId }) => [bySecret, byId])) {
        assert.ok(admitted > 0, 'Calls were admitted before');
        assert.ok(lastAdmittedAtMs < revokedAtMs, `A call was admitted ${lastAdmittedAtMs - revokedAtMs} ms too late`);
      }
    }
  });
}

/** When that was answered. */
async function revoke(worker: Worker, keyId: string): Promise<number> {
  const { answeredAtMs } = await worker.perform('callService', { method: 'revoke', calls: [[keyId]] });
  return answeredAtMs;
}
