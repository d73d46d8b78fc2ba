import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { asInstalledHere, type PackedPackage, packPackage } from '../support/packed.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const consumers = fileURLToPath(new URL('consumer', import.meta.url));

describe('The package, installed from its tarball', function () {
  this.timeout(120_000);
  let folder: string;
  let packed: PackedPackage;

  before(async () => {
    packed = await packPackage();
    const peers = ['express', '@types/express', '@types/node'].map(asInstalledHere);
    folder = await packed.install(consumers, await Promise.all(peers));
  });
  after(() => packed.remove());

  async function printed(script: string): Promise<unknown> {
    return JSON.parse((await run(process.execPath, [script], { cwd: folder })).stdout);
  }

  it('has the built code and its documents, and nothing else', async () => {
    const installed = join(folder, 'node_modules', 'express-llm-keys');
    assert.deepEqual((await readdir(installed)).sort(), [
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'dist',
      'package.json',
    ]);
    assert.deepEqual((await readdir(join(installed, 'dist'))).sort(), ['cjs', 'esm']);
  });

  it('brings no driver along', async () => {
    const installed = await readdir(join(folder, 'node_modules'));
    const drivers = ['ioredis', 'redis', 'knex', 'pg', 'openai', '@anthropic-ai', '@google', '@pydantic'];
    assert.deepEqual(
      installed.filter((name) => drivers.includes(name)),
      [],
    );
  });

  it('has a command that starts without any driver', async () => {
    const bin = join(folder, 'node_modules', '.bin', 'express-llm-keys');
    assert.match((await run(bin, ['--help'], { cwd: folder })).stdout, /^Usage: express-llm-keys /);
    await assert.rejects(
      run(bin, ['migrate'], { cwd: folder, env: { ...process.env, DATABASE_URL: 'postgres://h' } }),
      {
        stderr: 'express-llm-keys: DATABASE_URL needs drivers that are not installed: npm install knex pg\n',
      },
    );
  });

  for (const [modules, script] of [
    ['ES modules', 'answer.mjs'],
    ['CommonJS', 'answer.cjs'],
  ] as const) {
    it(`answers from ${modules}`, async () => {
      assert.deepEqual(await printed(script), {
        status: 200,
        content: 'Hello',
        errors: [true, true, 'key_not_found'],
        storeCases: true,
      });
    });
  }

  it('understands its other copy where both are in one process', async () => {
    assert.deepEqual(await printed('both.mjs'), {
      separate: true,
      status: 200,
      answer: { state: 'authenticated', model: 'gpt-4o', key: true },
      forbidden: [403, 'model_not_allowed'],
      charged: [[2, 2, 'reported']],
      error: [true, 'key_not_found'],
    });
  });

  it('has types that compile in both kinds of modules', async () => {
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const options = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--types', 'node'];
    await run(process.execPath, [compiler, ...options, 'types.mts', 'types.cts'], { cwd: folder }).catch((error) => {
      assert.fail(error.stdout);
    });
  });

  it('starts the gateway by its name', async () => {
    const { stdout } = await run('npx', ['--no-install', 'express-llm-keys', '--version'], { cwd: folder });
    assert.equal(stdout.trim(), await packedVersion());
  });

  async function packedVersion(): Promise<string> {
    return JSON.parse(await readFile(join(root, 'package.json'), 'utf8')).version;
  }
});
