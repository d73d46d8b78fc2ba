import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const { REDIS_SERVER } = process.env;
const names = REDIS_SERVER ? [REDIS_SERVER] : ['redis-server', 'valkey-server'];

function find(): string | undefined {
  return names.find((name) => spawnSync(name, ['--version']).status === 0);
}

function install(): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  execFileSync('apt-get', ['update'], { env, stdio: 'pipe' });
  execFileSync('apt-get', ['install', '-y', '--no-install-recommends', 'redis-server'], { env, stdio: 'pipe' });
}

const mayInstall = existsSync('/etc/debian_version') && process.getuid?.() === 0;

function locate(): { command: string } | { problem: string } {
  const found = find();
  if (found !== undefined) return { command: found };
  if (REDIS_SERVER) return { problem: `REDIS_SERVER is ${REDIS_SERVER}, which does not run.` };
  const advice = 'Install it (Debian: apt-get install redis-server), or set REDIS_URL to a Redis that tests may use.';
  if (!mayInstall) return { problem: `There is no redis-server on the PATH. ${advice}` };
  try {
    install();
  } catch (error) {
    return { problem: `redis-server could not be installed: ${error}. ${advice}` };
  }
  const installed = find();
  return installed === undefined
    ? { problem: `redis-server was installed and is not on the PATH. ${advice}` }
    : { command: installed };
}

/** Found when this file is loaded: to install it takes longer than a hook may, and files load before the time runs. */
const located =
  process.env.REDIS_URL && find() === undefined
    ? { problem: 'Tests that kill their Redis need redis-server on the PATH.' }
    : locate();

/** The command of a Redis or Valkey server: that of `REDIS_SERVER`, else of the PATH, else installed where Debian lets us. */
export function redisBinary(): string {
  if ('problem' in located) throw new Error(located.problem);
  return located.command;
}
