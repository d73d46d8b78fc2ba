import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeptFolder } from './kept-folder.ts';

const startMs = 60_000;

export interface ServerProcess {
  readonly pid: number;
  /** Sends the signal, and waits for the end of the process. */
  end(signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT' | 'SIGQUIT'): Promise<void>;
}

export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
  /** Where it is not ours. */
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Rejects as long as the server does not answer. */
  readonly ask: () => Promise<unknown>;
}

/** Starts a server that works in the folder, and waits until it answers. */
export async function startProcess(folder: KeptFolder, server: ServerCommand): Promise<ServerProcess> {
  const { command, args, user, env = process.env, ask } = server;
  const logPath = join(folder.path, 'server.log');
  const log = openSync(logPath, 'a');
  const child = spawn(command, args, {
    cwd: folder.path,
    // A signal of the terminal is for the tests; the server ends with them.
    detached: true,
    stdio: ['ignore', log, log],
    env,
    ...user,
  });
  closeSync(log);
  child.unref();
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await once(child, 'spawn');
  const { pid } = child;
  if (pid === undefined) throw new Error(`${command} has no process`);
  folder.keep(pid);
  void exited.then(() => folder.keep(null));

  const endMs = performance.now() + startMs;
  for (;;) {
    try {
      await ask();
      break;
    } catch (cause) {
      if (child.exitCode !== null || child.signalCode !== null || performance.now() > endMs) {
        const said = readFileSync(logPath, 'utf8').slice(-2000);
        throw new Error(`${command} does not answer. It said:\n${said}`, { cause });
      }
      await sleep(20);
    }
  }

  return {
    pid,
    async end(signal) {
      child.ref();
      child.kill(signal);
      await exited;
    },
  };
}
