import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

export interface WantedProgram {
  /** What it is called, in the order in which they are looked for. */
  readonly commands: readonly string[];
  /** The variable of the environment that names another one, which is the only one then. */
  readonly variable: string;
  /** What Debian has it in. */
  readonly debianPackage: string;
}

export type LocatedProgram = { readonly command: string } | { readonly problem: string };

export function findProgram({ commands, variable }: WantedProgram): string | undefined {
  const named = process.env[variable];
  return (named ? [named] : commands).find((command) => spawnSync(command, ['--version']).status === 0);
}

const mayInstall = existsSync('/etc/debian_version') && process.getuid?.() === 0;

/**
 * Finds a program, or installs it where Debian lets us. Ask when a file is loaded: to install takes longer than a hook
 * may, and files load before the time runs.
 */
export function locateProgram(wanted: WantedProgram): LocatedProgram {
  const { commands, variable, debianPackage } = wanted;
  const found = findProgram(wanted);
  if (found !== undefined) return { command: found };
  const named = process.env[variable];
  if (named) return { problem: `${variable} is ${named}, which does not run.` };
  const advice = `Install it (Debian: apt-get install ${debianPackage}), or set ${variable} to where it is.`;
  if (!mayInstall) return { problem: `There is no ${commands.join(' or ')} on the PATH. ${advice}` };
  try {
    install(debianPackage);
  } catch (error) {
    return { problem: `${debianPackage} could not be installed: ${error}. ${advice}` };
  }
  const installed = findProgram(wanted);
  return installed === undefined
    ? { problem: `${debianPackage} was installed, and its program is not on the PATH. ${advice}` }
    : { command: installed };
}

function install(debianPackage: string): void {
  // In this run level Debian installs a service and does not start it.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  execFileSync('apt-get', ['update'], { env, stdio: 'pipe' });
  execFileSync('apt-get', ['install', '-y', '--no-install-recommends', debianPackage], { env, stdio: 'pipe' });
}

/** @throws Error that says what to do, where it was not found */
export function commandOf(located: LocatedProgram): string {
  if ('problem' in located) throw new Error(located.problem);
  return located.command;
}
