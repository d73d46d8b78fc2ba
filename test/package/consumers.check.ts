import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createEchoModel } from '../../lib/testing/echo-model/echo-model.ts';
import { startApp } from '../support/example.ts';
import { type PackedPackage, packPackage } from '../support/packed.ts';
import { charge } from '../support/usage-events.ts';

const run = promisify(execFile);
const consumers = fileURLToPath(new URL('consumers', import.meta.url));
const express4Example = fileURLToPath(new URL('../../examples/express4-commonjs', import.meta.url));

describe('a project that installs the package', function () {
  this.timeout(300_000);
  let packed: PackedPackage;

  before(async () => {
    packed = await packPackage();
  });
  after(() => packed.remove());

  for (const [title, folder] of [
    ['compiles with TypeScript 5.9 and 7 to every kind of modules', 'typescript'],
    ['passes its tests and the store suite with Jest', 'jest'],
    ['passes its tests and the store suite with Vitest', 'vitest'],
    ['answers when it is bundled into one file', 'bundled'],
  ] as const) {
    it(title, async () => {
      await check(['npm', 'run', 'check'], await packed.install(join(consumers, folder)));
    });
  }

  it('compiles with the types of Express 4', async () => {
    const project = await packed.install(join(consumers, 'typescript'), ['express@4', '@types/express@4']);
    await check(['npm', 'run', 'check:nodenext'], project);
  });

  it('runs the example for Express 4 and CommonJS, whose types are right', async () => {
    const project = await packed.install(express4Example, ['@types/node@20', 'typescript@7']);
    const options = ['--checkJs', '--noEmit', '--strict', '--module', 'node16', '--types', 'node'];
    await check(['npx', 'tsc', ...options, 'server.cjs'], project);

    const app = await startApp(['server.cjs'], createEchoModel(), { cwd: project });
    try {
      const messages = [{ role: 'user', content: 'is it raining' }];
      const answer = await app.post('/v1/chat/completions', { model: 'gpt-4o', messages, stream: true });
      assert.equal(answer.headers.get('content-type'), 'text/event-stream; charset=utf-8');
      assert.match(await answer.text(), /data: \[DONE\]\n\n$/);
      assert.deepEqual((await app.charges(1)).map(charge), [
        { model: 'gpt-4o', inputTokens: 3, outputTokens: 3, costUsd: 0.0000375, source: 'reported' },
      ]);
    } finally {
      await app.stop();
    }
  });
});

/** Fails with what the command has printed. */
async function check([command, ...args]: readonly [string, ...string[]], cwd: string): Promise<void> {
  await run(command, args, { cwd }).catch(({ stdout, stderr }: { stdout: string; stderr: string }) => {
    assert.fail(`${stdout}${stderr}`);
  });
}
