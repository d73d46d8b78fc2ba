import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Reads the id of the process that works in the folder, and at the end of its input ends that process and removes the
 * folder. The input ends with us, also when we are killed: no handler of our own could promise that.
 */
const keeper = `
trap '' INT TERM HUP
while read -r next; do pid=$next; done
if [ -n "$pid" ]; then
  kill -CONT "$pid"; kill -QUIT "$pid"
  tries=0
  while kill -0 "$pid" && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -KILL "$pid"
fi
rm -rf "$1"
`;

/** A temporary folder of one server. */
export interface KeptFolder {
  readonly path: string;
  /** The process to end before the folder goes; `null`: none. */
  keep(pid: number | null): void;
  remove(): Promise<void>;
}

/** Makes a temporary folder that is gone, with the server that works in it, however this process ends. */
export function keptFolder(name: string): KeptFolder {
  const path = mkdtempSync(join(tmpdir(), `${name}-`));
  const child = spawn('sh', ['-c', keeper, 'sh', path], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  child.stdin.on('error', () => undefined);
  child.unref();
  return {
    path,
    keep: (pid) => void child.stdin.write(`${pid ?? ''}\n`),
    async remove() {
      const ended = once(child, 'exit');
      child.ref();
      child.stdin.end();
      await ended;
    },
  };
}
