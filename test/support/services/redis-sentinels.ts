import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.ts';
import { type KeptFolder, keptFolder } from './kept-folder.ts';
import { redisBinary } from './redis-binary.ts';
import { withRedis } from './redis-server.ts';
import { type ReplicatedRedis, redisWithReplica } from './redis-with-replica.ts';
import { startProcess } from './server-process.ts';

const patienceMs = 30_000;
const name = 'main';

/** A primary, its replica and three Sentinels that watch over them. */
export interface WatchedRedis extends Pick<ReplicatedRedis, 'primary' | 'replica'> {
  /** What ioredis is given: `new Redis({ sentinels, name })`. */
  readonly address: {
    readonly sentinels: { readonly host: string; readonly port: number }[];
    readonly name: string;
  };
  /** Resolves when the Sentinels have made the replica the primary. */
  untilFailedOver(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts them, and waits until the Sentinels know of each other and would fail over. */
export async function redisWithSentinels(): Promise<WatchedRedis> {
  const redis = await redisWithReplica();
  const { primary, replica } = redis;
  const sentinels = await Promise.all([1, 2, 3].map(() => startSentinel(primary.port)));
  await Promise.all(
    sentinels.map(async ({ port }) => {
      await until(port, 'CKQUORUM', (said) => said.startsWith('OK'));
      await until(port, 'REPLICAS', (said) => /flags,slave,.*master-link-status,ok/.test(said));
      await until(port, 'SENTINELS', (said) => said.split('runid').length === sentinels.length);
    }),
  );
  return {
    primary,
    replica,
    address: { sentinels: sentinels.map(({ port }) => ({ host: '127.0.0.1', port })), name },
    async untilFailedOver() {
      const isPrimary = (said: string) => said.endsWith(`,${replica.port}`);
      await Promise.all(sentinels.map(({ port }) => until(port, 'GET-MASTER-ADDR-BY-NAME', isPrimary)));
    },
    async stop() {
      await Promise.all([...sentinels.map(({ folder }) => folder.remove()), redis.stop()]);
    },
  };
}

async function startSentinel(primaryPort: number): Promise<{ readonly port: number; readonly folder: KeptFolder }> {
  const port = await freePort();
  const folder = keptFolder('redis-sentinel');
  const file = join(folder.path, 'sentinel.conf');
  // A file, since a Sentinel writes what it has learnt into it.
  const settings = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${folder.path}`,
    `sentinel monitor ${name} 127.0.0.1 ${primaryPort} 2`,
    `sentinel down-after-milliseconds ${name} 500`,
    `sentinel failover-timeout ${name} 3000`,
  ];
  writeFileSync(file, `${settings.join('\n')}\n`);
  const ask = () => withRedis(port, (redis) => redis.ping());
  await startProcess(folder, { command: redisBinary(), args: [file, '--sentinel'], ask });
  return { port, folder };
}

async function until(port: number, command: string, holds: (said: string) => boolean): Promise<void> {
  const endMs = performance.now() + patienceMs;
  await withRedis(port, async (sentinel) => {
    for (;;) {
      // A quorum that is not there yet is told by an error.
      const said = String(await sentinel.call('SENTINEL', command, name).catch((error: unknown) => error));
      if (holds(said)) return;
      if (performance.now() > endMs) throw new Error(`SENTINEL ${command} did not come to what was expected: ${said}`);
      await sleep(50);
    }
  });
}
