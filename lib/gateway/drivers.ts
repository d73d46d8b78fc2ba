import { failureReason } from '../stores/failure-reason.ts';
import { StartError } from './environment.ts';

/** Loads drivers that only some stores need. @throws StartError that says what to install */
export async function loadDrivers<T>(load: () => Promise<T>, variable: string, packages: string): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const isMissing = cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND';
    if (!isMissing) throw cause;
    throw new StartError(`${variable} needs drivers that are not installed: npm install ${packages}`, { cause });
  }
}

/** What an operator is told where a service does not answer at the start; the URL may have a password, and is left out. */
export function noAnswer(variable: string, service: string, cause: unknown): StartError {
  return new StartError(`${variable}: ${service} does not answer: ${failureReason(cause)}`, { cause });
}
