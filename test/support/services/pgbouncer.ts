import { chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { freePort } from './free-port.ts';
import { keptFolder } from './kept-folder.ts';
import { unprivilegedUser } from './postgres-binaries.ts';
import { startProcess } from './server-process.ts';
import { commandOf, locateProgram } from './server-program.ts';

const located = locateProgram({
  commands: ['pgbouncer', '/usr/sbin/pgbouncer'],
  variable: 'PGBOUNCER',
  debianPackage: 'pgbouncer',
});

export interface Pooler {
  /** Leads to the database of the server behind it. */
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Starts a PgBouncer in transaction mode before a Postgres. Its few connections are those of whoever has a transaction
 * open, so that a client seldom has the same one twice.
 */
export async function ownPgBouncer(postgresUrl: string, { connections = 4 } = {}): Promise<Pooler> {
  const port = await freePort();
  const { hostname, port: postgresPort, username, password, pathname } = new URL(postgresUrl);
  const folder = keptFolder('pgbouncer');
  const file = join(folder.path, 'pgbouncer.ini');
  const server = `host=${hostname} port=${postgresPort || 5432} user=${username}${password && ` password=${password}`}`;
  const settings = [
    '[databases]',
    `* = ${server}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = any',
    'pool_mode = transaction',
    `default_pool_size = ${connections}`,
    'max_client_conn = 500',
  ];
  writeFileSync(file, `${settings.join('\n')}\n`);
  // It refuses to run as root.
  const user = unprivilegedUser();
  if (user !== undefined) chownSync(folder.path, user.uid, user.gid);
  const url = `postgres://${username}@127.0.0.1:${port}${pathname}`;
  await startProcess(folder, { command: commandOf(located), args: [file], user, ask: () => answers(url) });
  return { url, stop: () => folder.remove() };
}

async function answers(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('select 1');
  } finally {
    await client.end();
  }
}
