import { spawnSync } from 'node:child_process';
import { chownSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { freePort } from './free-port.ts';
import { type KeptFolder, keptFolder } from './kept-folder.ts';
import { defaultPostgresVersion, type PostgresVersion, postgresBinaries } from './postgres-binaries.ts';
import { type ServerProcess, startProcess } from './server-process.ts';

/** A Postgres of one test file, which it may kill. */
export interface PostgresServer {
  readonly url: string;
  readonly port: number;
  /** Of the process that runs now, or ran last. */
  pid(): number;
  /** Aborts every process of it at once: nothing more is written, and the next start recovers from the log. */
  kill(): Promise<void>;
  /** Ends it as an operator would: open transactions are rolled back, the rest is written. */
  shutDown(): Promise<void>;
  /** On the same port and folder, after `kill` or `shutDown`. */
  restart(): Promise<void>;
  /** Ends it for good, and removes its folder. */
  stop(): Promise<void>;
}

export interface PostgresServerOptions {
  /** Absent: that of `POSTGRES_VERSION`, else the newest. */
  readonly version?: PostgresVersion;
  /** Writes reach the disk before a commit is answered. Off for speed; what a process wrote outlives its end anyhow. */
  readonly fsync?: boolean;
  /** Further settings, such as `{ max_connections: '20' }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Starts a Postgres on the loopback, with a port and a folder of its own. It ends with this process at the latest. */
export async function ownPostgresServer(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const port = await freePort();
  const folder = keptFolder('postgres');
  initialise(folder, options.version);
  let running = await start(port, folder, options);
  return {
    url: urlOf(port),
    port,
    pid: () => running.pid,
    kill: () => running.end('SIGQUIT'),
    shutDown: () => running.end('SIGINT'),
    async restart() {
      running = await start(port, folder, options);
    },
    stop: () => folder.remove(),
  };
}

/** Whatever the machine speaks, messages are English. */
const locale = ['--encoding=UTF8', '--locale=C'];
/** Text sorts as people do, not by bytes as in memory. Before Postgres 15 the machine alone knew how. */
const sorting = ['--locale-provider=icu', '--icu-locale=en-US'];
const env = { ...process.env, LC_ALL: 'C' };

function initialise(folder: KeptFolder, version = defaultPostgresVersion): void {
  const { initdb, user } = postgresBinaries(version);
  if (user !== undefined) chownSync(folder.path, user.uid, user.gid);
  const speaking = version < 15 ? locale : [...locale, ...sorting];
  const args = [`--pgdata=${dataOf(folder)}`, '--auth=trust', '--username=postgres', '--no-sync', ...speaking];
  const { status, stderr } = spawnSync(initdb, args, { ...user, cwd: folder.path, encoding: 'utf8', env });
  if (status !== 0) throw new Error(`initdb failed:\n${stderr}`);
}

function start(port: number, folder: KeptFolder, options: PostgresServerOptions): Promise<ServerProcess> {
  const { fsync = false, settings = {}, version = defaultPostgresVersion } = options;
  const { postgres, user } = postgresBinaries(version);
  const durability = fsync ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' };
  const all = {
    port: `${port}`,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '200',
    ...durability,
    ...settings,
  };
  const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return startProcess(folder, {
    command: postgres,
    args: ['-D', dataOf(folder), ...flags],
    user,
    env,
    ask: () => answers(port),
  });
}

function dataOf(folder: KeptFolder): string {
  return join(folder.path, 'data');
}

function urlOf(port: number): string {
  return `postgres://postgres@127.0.0.1:${port}/postgres`;
}

async function answers(port: number): Promise<void> {
  const client = new pg.Client({ connectionString: urlOf(port), connectionTimeoutMillis: 2000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
  } finally {
    await client.end();
  }
}

let shared: Promise<{ readonly url: string }> | undefined;

/** The Postgres that all test files share, each in a schema of its own: that of `DATABASE_URL`, else one that is started. */
export function postgresServer(): Promise<{ readonly url: string }> {
  const { DATABASE_URL } = process.env;
  shared ??= DATABASE_URL ? Promise.resolve({ url: DATABASE_URL }) : ownPostgresServer();
  return shared;
}
