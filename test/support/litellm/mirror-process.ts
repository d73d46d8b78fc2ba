/** The program of a process that does one {@link MirrorJob}, sent to it as a message. It says `done` when it has. */
import { Redis } from 'ioredis';
import { LiteLLMError } from '../../../lib/errors.ts';
import { createVirtualKeys } from '../../../lib/keys/create-virtual-keys.ts';
import type { VirtualKeys } from '../../../lib/keys/virtual-keys.ts';
import { createLiteLLMClient, createVault, type LiteLLMClient, mirrorToLiteLLM } from '../../../lib/litellm/index.ts';
import { redisStore } from '../../../lib/stores/redis/redis-store.ts';
import type { CrashTask, FleetTask, MirrorJob } from './mirror-job.ts';

/** All that changes something, on either side. */
const storeSteps = [
  ...['insertKey', 'updateKey', 'deleteKey', 'enqueueOutbox', 'claimOutbox', 'deferOutbox', 'clearOutbox'],
  ...['putTwin', 'removeTwin'],
];
const twinSteps = ['generate', 'update', 'block', 'unblock', 'delete'];

// The breaker leaves a server that failed alone for 30 seconds of this clock. Stores and leases have others.
const realNow = Date.now();
function hurryClock(times: number): void {
  Date.now = () => Math.floor(realNow + performance.now() * times);
}

process.once('message', (job: MirrorJob) => void run(job));
// It ends with the process that started it.
process.once('disconnect', () => process.exit());

async function run(job: MirrorJob): Promise<void> {
  const { task, baseUrl, masterKey, timeoutMs, leaseMs, vaultKey } = job;
  if (task.name === 'fleet') hurryClock(20);
  const redis = new Redis(job.redisUrl, { maxRetriesPerRequest: 1 });
  const plainStore = redisStore({ client: redis, prefix: job.prefix });
  const plainClient = createLiteLLMClient({ baseUrl, masterKey, timeoutMs });
  const onStep = task.name === 'fleet' ? () => undefined : killingAfter(task.killAfterSteps);
  const store = stepping(plainStore, storeSteps, onStep);
  const client: LiteLLMClient = {
    ...plainClient,
    keysUntil: (...given) => stepping(plainClient.keysUntil(...given), twinSteps, onStep),
  };
  // A process that was suspended finds answers that came meanwhile.
  const keys = createVirtualKeys({ store, storeTimeoutMs: 60_000 });
  const vault = vaultKey === undefined ? {} : ({ whenDown: 'queue', vault: createVault({ key: vaultKey }) } as const);
  const mirror = mirrorToLiteLLM({ keys, client, deploymentId: job.prefix, leaseMs, ...vault });
  if (task.name === 'fleet') {
    await insisting(mirror.start);
    await workAsFleet(keys, task);
  } else {
    await change(keys, task);
    await mirror.flush();
  }
  process.send?.('done');
}

async function change(keys: VirtualKeys, { name, keyId }: CrashTask): Promise<void> {
  switch (name) {
    case 'create':
      await keys.create({ name: 'Made', models: ['free'], rpmLimit: 5 });
      break;
    case 'update':
      await keys.update(keyId, { name: 'Tight', models: ['free'], rpmLimit: 2 });
      break;
    case 'rotate':
      await keys.rotate(keyId, { graceSeconds: 3600 });
      break;
    case 'revoke':
      await keys.revoke(keyId);
      break;
    case 'delete':
      await keys.delete(keyId);
  }
}

async function workAsFleet(keys: VirtualKeys, task: FleetTask): Promise<void> {
  let left = task.keys;
  async function lane(): Promise<void> {
    while (left > 0) {
      left -= 1;
      const isRevoked = left % 2 === 0;
      const { key } = await insisting(() => keys.create({ name: 'Fleet', models: ['*'], rpmLimit: 100 }));
      await keys.update(key.id, { models: ['free'], rpmLimit: 10 });
      if (isRevoked) await keys.revoke(key.id);
    }
  }
  await Promise.all(Array.from({ length: 8 }, lane));
}

async function insisting<T>(act: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof LiteLLMError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function killingAfter(steps: number): () => void {
  let done = 0;
  return () => {
    done += 1;
    if (done === steps) process.kill(process.pid, 'SIGKILL');
  };
}

/** The same object, which tells of each of these methods when it has done what it does. */
function stepping<T extends object>(inner: T, names: readonly string[], onStep: () => void): T {
  return new Proxy(inner, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== 'function' || !names.includes(String(name))) return method;
      return async (...args: unknown[]) => {
        const result: unknown = await method.apply(target, args);
        onStep();
        return result;
      };
    },
  });
}
