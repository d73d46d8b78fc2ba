import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createVirtualKeys } from '../../lib/index.ts';
import { createLiteLLMClient, createVault, mirrorToLiteLLM } from '../../lib/litellm/index.ts';
import { allRecords, assertBothSidesEqual } from '../support/litellm/both-sides.ts';
import { type FakeLiteLLM, fakeLiteLLM } from '../support/litellm/fake-litellm.ts';
import type { CrashTask } from '../support/litellm/mirror-job.ts';
import { startMirrorProcess } from '../support/litellm/start-mirror-process.ts';
import { redisSession } from '../support/redis-session.ts';
import { redisServer } from '../support/services/redis-server.ts';

const timeoutMs = 1000;
const leaseMs = 2500;
const vaultKey = randomBytes(32).toString('hex');
/** Nothing answers there. */
const nowhere = 'http://127.0.0.1:1';

interface Change {
  readonly name: CrashTask['name'];
  readonly isQueued: boolean;
}

const changes: readonly Change[] = [
  ...(['create', 'update', 'rotate', 'revoke', 'delete'] as const).map((name) => ({ name, isQueued: false })),
  ...(['create', 'rotate'] as const).map((name) => ({ name, isQueued: true })),
];
/** More than any change has. */
const maxSteps = 25;

interface Crashed {
  readonly steps: number;
  readonly resume: () => Promise<void>;
}

describe('a mirror whose process is killed', function () {
  this.timeout(300_000);
  let proxy: FakeLiteLLM;
  let redisUrl: string;
  const crashes = new Map<Change, Promise<readonly Crashed[]>>();

  before(async () => {
    proxy = await fakeLiteLLM();
    redisUrl = (await redisServer()).url;
    // All at once: most of their time a process starts.
    for (const change of changes) {
      const crashing = crashAfterEachStep(change);
      crashing.catch(() => undefined);
      crashes.set(change, crashing);
    }
  });
  after(() => proxy.close());

  /** Kills a process after so many steps of a change; `undefined`: it had fewer. Resumed by a mirror of this process. */
  async function crash(name: CrashTask['name'], steps: number, isQueued: boolean): Promise<Crashed | undefined> {
    const { baseUrl, masterKey } = proxy;
    const session = redisSession(redisUrl);
    const { store, prefix } = session;
    const keys = createVirtualKeys({ store, storeTimeoutMs: 5000 });
    const client = createLiteLLMClient({ baseUrl, masterKey, timeoutMs });
    const vault = isQueued ? ({ whenDown: 'queue', vault: createVault({ key: vaultKey }) } as const) : {};
    const mirror = mirrorToLiteLLM({ keys, client, deploymentId: prefix, leaseMs, ...vault });
    const keyId = name === 'create' ? '' : (await keys.create({ name: 'Kept', models: ['*'], rpmLimit: 9 })).key.id;
    await mirror.flush();
    const child = startMirrorProcess({
      ...{ redisUrl, prefix, masterKey, timeoutMs, leaseMs, baseUrl: isQueued ? nowhere : baseUrl },
      ...(isQueued && { vaultKey }),
      task: { name, keyId, killAfterSteps: steps },
    });
    const isDone = await child.isDone;
    await child.kill();
    async function resume(): Promise<void> {
      await mirror.flush();
      const records = await allRecords(store);
      if (name === 'create') assert.ok(records.length <= 1);
      await assertBothSidesEqual(store, client, prefix);
    }
    async function close(): Promise<void> {
      await mirror.stop();
      await keys.close();
      await session.close();
    }
    if (isDone) {
      // What LiteLLM did not take is put off for a second.
      await new Promise((resolve) => setTimeout(resolve, isQueued ? 1000 : 0));
      await resume();
      await close();
      return undefined;
    }
    return {
      steps,
      async resume() {
        await resume();
        // It can be changed on, whatever happened.
        for (const { id, revokedAtMs } of await allRecords(store)) if (revokedAtMs === null) await keys.rotate(id);
        await mirror.flush();
        await assertBothSidesEqual(store, client, prefix);
        await close();
      },
    };
  }

  async function crashAfterEachStep({ name, isQueued }: Change): Promise<readonly Crashed[]> {
    const crashed: Crashed[] = [];
    for (let steps = 1; steps < maxSteps; steps += 1) {
      const next = await crash(name, steps, isQueued);
      if (next === undefined) break;
      crashed.push(next);
    }
    // Until then others leave the keys to the dead.
    await new Promise((resolve) => setTimeout(resolve, leaseMs));
    return crashed;
  }

  for (const change of changes) {
    const { name, isQueued } = change;
    it(`leaves both sides equal after each step of its ${name}${isQueued ? ' that waits in the vault' : ''}`, async () => {
      const crashed = (await crashes.get(change)) ?? [];
      for (const { steps, resume } of crashed) {
        await resume().catch((cause: unknown) => {
          throw new Error(`${name}, killed after step ${steps}`, { cause });
        });
      }
      assert.ok(crashed.length >= 4 && crashed.length < maxSteps - 1, `${crashed.length} steps`);
    });
  }
});
