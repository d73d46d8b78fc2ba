import type { Cluster, Redis } from 'ioredis';

/** A client of ioredis 5 or 6: of one node, of Sentinels, or of a Cluster. */
export type RedisClient = Redis | Cluster;

/** Whether keys of different slots are on different nodes. */
export function isCluster(client: RedisClient): client is Cluster {
  return client.isCluster;
}

const neededMethods = ['evalsha', 'eval', 'hmget', 'zrange', 'duplicate', 'on', 'call'] as const;

/**
 * Refuses what looks like a client and would lose or hide keys.
 *
 * @throws TypeError that names what to change
 */
export function checkClient(client: unknown): RedisClient {
  if (typeof client !== 'object' || client === null) throw wrongClient();
  if ('sendCommand' in client && 'hGetAll' in client) throw wrongClient('this is one of the package "redis"');
  const missing = neededMethods.filter((name) => typeof Reflect.get(client, name) !== 'function');
  if (missing.length > 0) throw wrongClient(`this has no ${missing.join(', ')}`);
  const { isCluster: isOfCluster, mode } = client as RedisClient & { readonly mode?: unknown };
  if (typeof isOfCluster !== 'boolean') throw wrongClient();
  if (mode === 'monitor' || mode === 'subscriber') {
    throw new TypeError(`redisStore: the client is in ${mode} mode; pass one that sends commands`);
  }
  checkOptions(optionsOf(client as RedisClient));
  return client as RedisClient;
}

interface CheckedOptions {
  readonly keyPrefix?: unknown;
  readonly readOnly?: unknown;
  /** Of the node that Sentinels are asked for. */
  readonly role?: unknown;
  readonly scaleReads?: unknown;
  readonly replyMapping?: unknown;
  readonly stringNumbers?: unknown;
}

/** Those of a Cluster stand in two places. */
function optionsOf(client: RedisClient): CheckedOptions {
  const { options } = client as { readonly options?: CheckedOptions & { readonly redisOptions?: CheckedOptions } };
  return { ...options?.redisOptions, ...options };
}

function checkOptions(options: CheckedOptions): void {
  const { keyPrefix, readOnly, role, scaleReads, replyMapping, stringNumbers } = options;
  if (keyPrefix) {
    throw new TypeError(
      'redisStore: the client has a keyPrefix, which scripts and channels would not agree on; ' +
        'leave it out and give redisStore the prefix',
    );
  }
  if (readOnly) throw new TypeError('redisStore: the client is readOnly; pass one of the primary');
  if (role === 'slave') {
    throw new TypeError("redisStore: the client asks Sentinels for a replica; leave its role 'master'");
  }
  if (scaleReads !== undefined && scaleReads !== 'master') {
    throw new TypeError("redisStore: a replica may not know of a change yet; set scaleReads to 'master'");
  }
  if (replyMapping === 'resp3') {
    throw new TypeError("redisStore: replies must have the shapes of replyMapping 'legacy', which is the default");
  }
  if (stringNumbers) throw new TypeError('redisStore: numbers must come as numbers; leave stringNumbers out');
}

function wrongClient(found?: string): TypeError {
  const wanted = 'redisStore: client must be a Redis or Cluster of ioredis 5 or 6';
  return new TypeError(found === undefined ? wanted : `${wanted}; ${found}`);
}

/**
 * @throws TypeError for a prefix that is empty, or would decide the slot of every key
 */
export function checkPrefix(prefix: unknown): string {
  if (typeof prefix !== 'string' || prefix === '' || /[{}\p{Cc}\p{Cs}]/u.test(prefix)) {
    throw new TypeError('redisStore: prefix must be printable text without braces');
  }
  return prefix;
}
