import assert from 'node:assert/strict';
import { Redis } from 'ioredis';
import { Redis as Redis5 } from 'ioredis5';
import { createVirtualKeys, type VirtualKeys } from '../../../lib/index.ts';
import { redisStore } from '../../../lib/stores/redis/redis-store.ts';
import type { Store, StoreNotice } from '../../../lib/stores/store.ts';
import { answers, eventually } from '../../support/eventually.ts';
import { admittedHold, call, spend, testLog, withoutNotices } from '../../support/service.ts';
import { newPrefix } from '../../support/services/random-name.ts';
import { redisWithSentinels, type WatchedRedis } from '../../support/services/redis-sentinels.ts';
import { withRedis } from '../../support/services/redis-server.ts';

/** As the README advises, but for `failoverDetector`. */
const clientOptions = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 1000 };

interface Options {
  readonly failoverDetector?: boolean;
}

type Connect = (options: Options & typeof clientOptions & WatchedRedis['address']) => Redis;

const versions: readonly (readonly [version: string, connect: Connect])[] = [
  ['6', (options) => new Redis(options)],
  // Whoever has ioredis 5 compiles against its types; here both are installed.
  ['5', (options) => new Redis5(options) as unknown as Redis],
];

/** What one process of an application has. */
interface Process {
  readonly client: Redis;
  readonly store: Store;
  readonly keys: VirtualKeys;
  readonly notices: StoreNotice[];
  close(): Promise<void>;
}

async function startProcess(client: Redis, prefix: string): Promise<Process> {
  client.on('error', () => undefined);
  await eventually(() => client.status === 'ready');
  const store = redisStore({ client, prefix });
  const keys = createVirtualKeys({ store, storeTimeoutMs: 1000, logger: testLog() });
  const notices: StoreNotice[] = [];
  const leave = store.open({ logger: testLog(), onNotice: (notice) => notices.push(notice) });
  await eventually(() => notices.length > 0);
  return {
    client,
    store,
    keys,
    notices,
    async close() {
      await keys.close();
      leave();
      await store.close();
      client.disconnect();
    },
  };
}

/** Asks until there is an answer. */
async function answerOf<T>(call: () => Promise<T>): Promise<T> {
  const given: T[] = [];
  await eventually(() => answers(async () => given.push(await call())));
  const [answer] = given;
  if (answer === undefined) assert.fail('There is no answer');
  return answer;
}

async function cachedScripts({ port }: { readonly port: number }): Promise<number> {
  const info = await withRedis(port, (redis) => redis.info('memory'));
  return Number(/^number_of_cached_scripts:(\d+)/m.exec(info)?.[1]);
}

describe('redisStore: Sentinel', function () {
  this.timeout(60_000);

  for (const [version, connect] of versions) {
    describe(`with ioredis ${version}`, () => {
      let redis: WatchedRedis;
      let running: Process[];

      beforeEach(async () => {
        running = [];
        redis = await redisWithSentinels();
      });

      afterEach(async () => {
        await Promise.all(running.map((process) => process.close()));
        await redis.stop();
      });

      async function startTwo(options: Options = {}): Promise<readonly [Process, Process]> {
        const prefix = `${newPrefix()}:`;
        const start = () => startProcess(connect({ ...redis.address, ...clientOptions, ...options }), prefix);
        const two = [await start(), await start()] as const;
        running.push(...two);
        return two;
      }

      /** Both answer, and have heard that changes may have been missed. */
      async function untilBothGoOn(): Promise<void> {
        for (const { keys, notices } of running) {
          await eventually(() => answers(() => keys.list()));
          await eventually(() => notices.some(({ type }) => type === 'missed'));
        }
      }

      it('goes on by itself after the primary was killed, with all that its replica had heard of', async () => {
        const [here, there] = await startTwo();
        const { keys, client } = here;
        const deaf = createVirtualKeys({ store: withoutNotices(there.store), logger: testLog() });
        const revoked = await keys.create({ name: 'revoked', models: ['*'] });
        assert.equal((await deaf.verify(revoked.secret)).valid, true);
        await keys.revoke(revoked.key.id);
        const { key, secret } = await keys.create({
          name: 'busy',
          models: ['*'],
          maxBudget: 1,
          maxParallelRequests: 2,
        });
        const keyId = key.id;
        await spend(keys, keyId, 0.25);
        const hold = admittedHold(await keys.admit(call(keyId, { costUsd: 0.5 })));
        assert.equal((await there.keys.verify(secret)).valid, true);
        assert.equal(await answerOf(() => client.wait(1, 500)), 1);
        assert.ok((await cachedScripts(redis.primary)) > 0);
        assert.equal(await cachedScripts(redis.replica), 0);
        for (const { notices } of [here, there]) notices.length = 0;

        await redis.primary.kill();
        await assert.rejects(keys.admit(call(keyId)), { code: 'store_unavailable' });
        await redis.untilFailedOver();
        await untilBothGoOn();

        assert.deepEqual(await keys.verify(revoked.secret), { valid: false, reason: 'revoked' });
        // What it has cached is judged by the fence.
        assert.equal((await deaf.verify(revoked.secret)).valid, true);
        const fenced = await deaf.admit(call(revoked.key.id));
        assert.equal(fenced.admitted === false && fenced.reason, 'key');
        await deaf.close();
        // A ledger that was down is asked again in its own time.
        const second = admittedHold(await answerOf(() => keys.admit(call(keyId))));
        const third = await keys.admit(call(keyId));
        assert.equal(third.admitted === false && third.reason, 'concurrency');
        await keys.settle(second, { inputTokens: 1, costUsd: 0 });
        await keys.settle(hold, { inputTokens: 1, costUsd: 0.5 });
        const tooMuch = await keys.admit(call(keyId, { costUsd: 0.250_000_001 }));
        assert.equal(tooMuch.admitted === false && tooMuch.reason, 'budget');
        await spend(keys, keyId, 0.25);
        assert.equal((await keys.get(keyId)).spend, 1);
        assert.ok((await cachedScripts(redis.replica)) > 0);

        // From its cache the other process would know no better.
        assert.equal((await there.keys.verify(secret)).valid, true);
        there.notices.length = 0;
        await keys.revoke(keyId);
        await eventually(() => there.notices.length > 0);
        assert.equal((await there.keys.verify(secret)).valid, false);
      });

      it('leaves a primary that hangs, once the Sentinels have another one, with failoverDetector', async () => {
        const [here, there] = await startTwo({ failoverDetector: true });
        const { keys } = here;
        const { secret } = await keys.create({ name: 'a', models: ['*'] });
        assert.equal((await there.keys.verify(secret)).valid, true);
        assert.equal(await answerOf(() => here.client.wait(1, 500)), 1);
        for (const { notices } of [here, there]) notices.length = 0;
        process.kill(redis.primary.pid(), 'SIGSTOP');
        try {
          await redis.untilFailedOver();
          await untilBothGoOn();
          // Each Sentinel tells of it in its own time, and each time the clients connect anew.
          await eventually(async () => {
            await answers(() => keys.create({ name: 'b', models: ['*'] }));
            return there.notices.some(({ type }) => type === 'changed');
          });
        } finally {
          process.kill(redis.primary.pid(), 'SIGCONT');
        }
      });
    });
  }
});
