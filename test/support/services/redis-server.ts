import { Redis } from 'ioredis';
import { freePort } from './free-port.ts';
import { type KeptFolder, keptFolder } from './kept-folder.ts';
import { redisBinary } from './redis-binary.ts';
import { type ServerProcess, startProcess } from './server-process.ts';

/** A Redis of one test file, which it may kill. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** Of the process that runs now, or ran last. */
  pid(): number;
  /** `SIGKILL`, and waits for the end. */
  kill(): Promise<void>;
  /** Ends it as an operator would: what is to be kept is written. */
  shutDown(): Promise<void>;
  /** On the same port and folder, after `kill` or `shutDown`. */
  restart(): Promise<void>;
  /** Ends it for good, and removes its folder. */
  stop(): Promise<void>;
}

export interface RedisServerOptions {
  /** Keeps what was written through a restart: each write before it is answered. */
  readonly appendOnly?: boolean;
  /** Further arguments of the command, such as `['--maxmemory', '100mb']`. */
  readonly args?: readonly string[];
}

/** Starts a Redis on the loopback, with a port and a folder of its own. It ends with this process at the latest. */
export async function ownRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const port = await freePort();
  const folder = keptFolder('redis');
  let running = await start(port, folder, options);
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    pid: () => running.pid,
    kill: () => running.end('SIGKILL'),
    shutDown: () => running.end('SIGTERM'),
    async restart() {
      running = await start(port, folder, options);
    },
    stop: () => folder.remove(),
  };
}

function start(port: number, folder: KeptFolder, options: RedisServerOptions): Promise<ServerProcess> {
  const { appendOnly = false, args = [] } = options;
  const kept = appendOnly ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no'];
  const at = ['--port', `${port}`, '--bind', '127.0.0.1'];
  // A primary would wait five seconds for further replicas.
  const soon = ['--repl-diskless-sync-delay', '0'];
  return startProcess(folder, {
    command: redisBinary(),
    args: [...at, '--dir', folder.path, '--save', '', ...soon, ...kept, ...args],
    ask: () => withRedis(port, (redis) => redis.ping()),
  });
}

/** Calls with a client of its own, which fails at once where nobody answers. */
export async function withRedis<T>(port: number, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis({
    host: '127.0.0.1',
    port,
    lazyConnect: true,
    retryStrategy: () => null,
    connectTimeout: 2000,
  });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

let shared: Promise<{ readonly url: string }> | undefined;

/** The Redis that all test files share, each under a prefix of its own: that of `REDIS_URL`, else one that is started. */
export function redisServer(): Promise<{ readonly url: string }> {
  const { REDIS_URL } = process.env;
  shared ??= REDIS_URL ? Promise.resolve({ url: REDIS_URL }) : ownRedisServer();
  return shared;
}
