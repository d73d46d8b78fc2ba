import { commandOf, findProgram, locateProgram } from './server-program.ts';

const wanted = {
  commands: ['redis-server', 'valkey-server'],
  variable: 'REDIS_SERVER',
  debianPackage: 'redis-server',
};

const located =
  process.env.REDIS_URL && findProgram(wanted) === undefined
    ? { problem: 'Tests that kill their Redis need redis-server on the PATH, or where REDIS_SERVER says.' }
    : locateProgram(wanted);

/** The command of a Redis or Valkey server: that of `REDIS_SERVER`, else one of the PATH, else of Debian. */
export function redisBinary(): string {
  return commandOf(located);
}
