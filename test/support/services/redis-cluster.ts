import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { ownRedisServer, type RedisServer, withRedis } from './redis-server.ts';

const slotCount = 16_384;
const patienceMs = 30_000;

export interface RedisCluster {
  readonly masters: readonly RedisServer[];
  /** One of each master, where they were asked for. */
  readonly replicas: readonly RedisServer[];
  /** Addresses as `new Cluster(nodes)` of ioredis takes them. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  /** Moves a slot with its keys. `onTheWay` runs when half of them are there, and clients are answered ASK. */
  migrateSlot(slot: number, to: RedisServer, onTheWay?: () => Promise<void>): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a cluster of three masters on the loopback, and waits until all slots are served. */
export async function redisCluster(options: { readonly replicas?: boolean } = {}): Promise<RedisCluster> {
  const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', '--cluster-announce-ip', '127.0.0.1'];
  const startThree = () => Promise.all([1, 2, 3].map(() => ownRedisServer({ args })));
  const masters = await startThree();
  const replicas = options.replicas ? await startThree() : [];
  const all = [...masters, ...replicas];
  const [first] = masters;
  if (first === undefined) throw new Error('A cluster has masters');

  await Promise.all(masters.map((master, at) => withRedis(master.port, (redis) => giveSlots(redis, at))));
  await withRedis(first.port, async (redis) => {
    for (const { port } of all) if (port !== first.port) await redis.cluster('MEET', '127.0.0.1', port);
  });
  await Promise.all(all.map((node) => untilKnown(node, all.length)));
  const ids = await Promise.all(masters.map(idOf));
  await Promise.all(
    replicas.map((replica, at) =>
      withRedis(replica.port, (redis) => redis.call('CLUSTER', 'REPLICATE', ids[at] ?? '')),
    ),
  );
  await Promise.all(all.map((node) => until(node, 'CLUSTER INFO', (said) => said.includes('cluster_state:ok'))));
  await Promise.all(
    replicas.map((replica) => until(replica, 'INFO replication', (said) => said.includes('master_link_status:up'))),
  );

  return {
    masters,
    replicas,
    nodes: all.map(({ port }) => ({ host: '127.0.0.1', port })),
    migrateSlot: (slot, to, onTheWay = async () => undefined) => migrate(masters, slot, to, onTheWay),
    async stop() {
      await Promise.all(all.map((node) => node.stop()));
    },
  };
}

async function giveSlots(redis: Redis, at: number): Promise<void> {
  const [from, to] = [Math.floor((slotCount * at) / 3), Math.floor((slotCount * (at + 1)) / 3)];
  // By single slots: ranges are of Redis 7.
  await redis.call('CLUSTER', 'ADDSLOTS', ...Array.from({ length: to - from }, (_, index) => `${from + index}`));
  await redis.call('CLUSTER', 'SET-CONFIG-EPOCH', `${at + 1}`);
}

function idOf(node: RedisServer): Promise<string> {
  return withRedis(node.port, async (redis) => String(await redis.call('CLUSTER', 'MYID')));
}

function untilKnown(node: RedisServer, count: number): Promise<void> {
  return until(node, 'CLUSTER NODES', (said) => {
    const lines = said.trim().split('\n');
    return lines.length === count && !/handshake|fail|noaddr/.test(said);
  });
}

async function until(node: RedisServer, command: string, holds: (said: string) => boolean): Promise<void> {
  const [name = '', ...args] = command.split(' ');
  const endMs = performance.now() + patienceMs;
  await withRedis(node.port, async (redis) => {
    for (;;) {
      const said = String(await redis.call(name, ...args));
      if (holds(said)) return;
      if (performance.now() > endMs) throw new Error(`The cluster did not come together: ${said}`);
      await sleep(50);
    }
  });
}

async function migrate(
  masters: readonly RedisServer[],
  slot: number,
  to: RedisServer,
  onTheWay: () => Promise<void>,
): Promise<void> {
  const from = await ownerOf(masters, slot);
  if (from === to) return;
  const [fromId, toId] = [await idOf(from), await idOf(to)];
  await withRedis(to.port, (redis) => redis.call('CLUSTER', 'SETSLOT', `${slot}`, 'IMPORTING', fromId));
  await withRedis(from.port, async (redis) => {
    await redis.call('CLUSTER', 'SETSLOT', `${slot}`, 'MIGRATING', toId);
    const count = Number(await redis.call('CLUSTER', 'COUNTKEYSINSLOT', `${slot}`));
    await moveKeys(redis, slot, to.port, Math.ceil(count / 2));
    await onTheWay();
    while ((await moveKeys(redis, slot, to.port, 100)) > 0);
  });
  // The new owner first, so that no key is asked for where it is not.
  for (const { port } of [to, from, ...masters.filter((master) => master !== to && master !== from)]) {
    await withRedis(port, (redis) => redis.call('CLUSTER', 'SETSLOT', `${slot}`, 'NODE', toId));
  }
}

async function moveKeys(redis: Redis, slot: number, port: number, limit: number): Promise<number> {
  if (limit === 0) return 0;
  const keys = await redis.cluster('GETKEYSINSLOT', slot, limit);
  if (keys.length > 0) await redis.call('MIGRATE', '127.0.0.1', `${port}`, '', '0', '5000', 'KEYS', ...keys);
  return keys.length;
}

async function ownerOf(masters: readonly RedisServer[], slot: number): Promise<RedisServer> {
  const [first] = masters;
  if (first === undefined) throw new Error('A cluster has masters');
  const ranges = await withRedis(first.port, (redis) => redis.cluster('SLOTS'));
  const [, , served] = ranges.find(([start, end]) => start <= slot && slot <= end) ?? [];
  const owner = masters.find(({ port }) => port === served?.[1]);
  if (owner === undefined) throw new Error(`No master of this cluster has the slot ${slot}`);
  return owner;
}
