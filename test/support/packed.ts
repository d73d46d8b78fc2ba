import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

/** The package as npm would publish it, and projects that install it. */
export interface PackedPackage {
  /**
   * A project of its own, outside of the repository: a copy of `files` with the package and further ones installed. Where
   * the files have no package.json, they get an empty one.
   */
  install(files: string, packages?: readonly string[]): Promise<string>;
  /** Removes the tarball and all that has installed it. */
  remove(): Promise<void>;
}

export async function packPackage(): Promise<PackedPackage> {
  const folder = await mkdtemp(join(tmpdir(), 'express-llm-keys-'));
  await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: root });
  const [tarball = ''] = await readdir(folder);

  return {
    async install(files, packages = []) {
      const project = await mkdtemp(join(folder, 'project-'));
      await writeFile(join(project, 'package.json'), '{ "private": true }\n');
      await cp(files, project, { recursive: true });
      const quietly = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
      await run('npm', ['install', ...quietly, join(folder, tarball), ...packages], { cwd: project });
      return project;
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** A package in the version that is installed here, so that npm finds it in its cache. */
export async function asInstalledHere(name: string): Promise<string> {
  const { version } = JSON.parse(await readFile(join(root, 'node_modules', name, 'package.json'), 'utf8'));
  return `${name}@${version}`;
}
