import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { MirrorJob } from './mirror-job.ts';

/** A process that does one job; it ends with this one at the latest. */
export interface MirrorProcess {
  /** `SIGSTOP` and `SIGCONT`, as a machine that is suspended and goes on. */
  pause(): void;
  resume(): void;
  /** Whether it has said that it is done; `false`: it ended before. */
  readonly isDone: Promise<boolean>;
  /** `SIGKILL`, and waits for the end. */
  kill(): Promise<void>;
}

const program = fileURLToPath(new URL('mirror-process.ts', import.meta.url));

export function startMirrorProcess(job: MirrorJob): MirrorProcess {
  const child = fork(program, { execArgv: ['--import', 'tsx'] });
  const ended = once(child, 'exit');
  child.send(job);
  return {
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    isDone: Promise.race([once(child, 'message').then(() => true), ended.then(() => false)]),
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
