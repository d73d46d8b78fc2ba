import { setTimeout as sleep } from 'node:timers/promises';
import { type TcpProxy, tcpProxy } from '../tcp-proxy.ts';
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

/** Starts a Redis with a replica that has caught up. */
export async function redisWithReplica(): Promise<ReplicatedRedis> {
  const [primary, replica] = await Promise.all([ownRedisServer(), ownRedisServer()]);
  await withRedis(replica.port, async (redis) => {
    await redis.replicaof('127.0.0.1', primary.port);
    const endMs = performance.now() + patienceMs;
    while (!(await redis.info('replication')).includes('master_link_status:up')) {
      if (performance.now() > endMs) throw new Error('The replica did not catch up');
      await sleep(50);
    }
  });
  const proxy: TcpProxy = await tcpProxy(primary.port);
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
      await Promise.all([proxy.close(), primary.stop(), replica.stop()]);
    },
  };
}
