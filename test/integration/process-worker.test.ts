import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { until } from '../support/fleet/until.ts';

/** Starts two workers, pauses one of them, and tells of both. */
const starter = `
import { startProcessWorker } from './test/support/fleet/process-worker.ts';
const [running, paused] = await Promise.all([startProcessWorker(), startProcessWorker()]);
await paused.pause();
console.log(JSON.stringify([running.pid, paused.pid]));
`;

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe('startProcessWorker', () => {
  it('starts workers that end, paused or not, when the process that started them is killed', async () => {
    const args = ['--import', 'tsx', '--input-type=module', '--eval', starter];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const [told] = await once(child.stdout, 'data');
    const pids: readonly number[] = JSON.parse(told);
    child.kill('SIGKILL');
    await until(
      'The workers end',
      async () => pids.filter(isRunning).length,
      (count) => count === 0,
    );
  }).timeout(180_000);
});
