import type { Redis } from 'ioredis';
import type { Logger } from '../store.ts';
import { isCluster, type RedisClient } from './client.ts';

/** Tells where Redis may drop records and budgets to make room. Says nothing where that cannot be found out. */
export async function warnOfEviction(client: RedisClient, logger: Logger): Promise<void> {
  const policies = await Promise.all(mastersOf(client).map(evictionPolicyOf));
  const evicting = policies.find((policy) => policy?.startsWith('allkeys'));
  if (evicting === undefined) return;
  logger.warn(
    `Redis has maxmemory-policy ${evicting}: when its memory is full it drops keys and counters. ` +
      'Set noeviction, or a volatile policy',
  );
}

function mastersOf(client: RedisClient): readonly Redis[] {
  return isCluster(client) ? client.nodes('master') : [client];
}

// INFO, since managed services forbid CONFIG.
async function evictionPolicyOf(node: Redis): Promise<string | undefined> {
  const info = await node.info('memory').catch(() => '');
  return /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
}
