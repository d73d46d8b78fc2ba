import { setTimeout as sleep } from 'node:timers/promises';
import { tcpProxy } from '../tcp-proxy.ts';
import { ownRedisServer, type RedisServer, withRedis } from './redis-server.ts';

const patienceMs = 30_000;

export interface ReplicatedRedis {
  /** Leads to the primary, and after a failover to the replica. */
  readonly url: string;
  readonly primary: RedisServer;
  readonly replica: RedisServer;
  /** Kills the primary and promotes the replica, as Sentinel would: what had not reached the replica is lost. */
  failOver(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a Redis with a replica that has caught up, and from then on hears of all that much later. */
export async function redisWithReplica({ lagMs = 0 }: { readonly lagMs?: number } = {}): Promise<ReplicatedRedis> {
  const [primary, replica] = await Promise.all([ownRedisServer(), ownRedisServer()]);
  // Where nothing is to be delayed, the replica names the primary itself: so Sentinel wants it.
  const link = lagMs > 0 ? await tcpProxy(primary.port) : undefined;
  await withRedis(replica.port, (redis) => redis.replicaof('127.0.0.1', link?.port ?? primary.port));
  // The primary counts on a replica that has caught up no sooner than it has said so.
  await untilReplication(replica, 'master_link_status:up');
  await untilReplication(primary, 'state=online');
  link?.fail({ type: 'slow', delayMs: lagMs });
  const proxy = await tcpProxy(primary.port);
  return {
    url: `redis://127.0.0.1:${proxy.port}`,
    primary,
    replica,
    async failOver() {
      await primary.kill();
      await withRedis(replica.port, (redis) => redis.replicaof('NO', 'ONE'));
      proxy.retarget(replica.port);
    },
    async stop() {
      await Promise.all([proxy.close(), link?.close(), primary.stop(), replica.stop()]);
    },
  };
}

async function untilReplication({ port }: RedisServer, says: string): Promise<void> {
  await withRedis(port, async (redis) => {
    const endMs = performance.now() + patienceMs;
    while (!(await redis.info('replication')).includes(says)) {
      if (performance.now() > endMs) throw new Error('The replica did not catch up');
      await sleep(50);
    }
  });
}
