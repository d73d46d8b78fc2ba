import { LiteLLMError } from '../../errors.ts';
import type { LiteLLMClient, LiteLLMHealth } from '../client/client.ts';

/** The oldest release that is known to answer as this package expects. */
const oldest = [1, 82, 6] as const;
/** Releases that carried malware. */
const infected = ['1.82.7', '1.82.8'];

/** @throws LiteLLMError saying in one sentence what a mirror cannot work with */
export async function checkProxy(client: LiteLLMClient): Promise<LiteLLMHealth> {
  try {
    return await check(client);
  } catch (error) {
    throw error instanceof LiteLLMError ? explained(error) : error;
  }
}

async function check(client: LiteLLMClient): Promise<LiteLLMHealth> {
  const health = await client.health();
  if (!health.hasDatabase) {
    throw new LiteLLMError('litellm_unexpected', 'This LiteLLM has no database, and so no keys: set its DATABASE_URL');
  }
  const { version } = health;
  if (version !== null && infected.some((release) => version.startsWith(release))) {
    throw new LiteLLMError('litellm_unexpected', `LiteLLM ${version} carried malware: replace it, and all its secrets`);
  }
  if (version !== null && isOlder(version)) {
    throw new LiteLLMError(
      'litellm_unexpected',
      `LiteLLM ${version} is too old: it must be ${oldest.join('.')} or later`,
    );
  }
  // Older releases tell anybody how they are; only a list of keys shows whether the master key is one.
  await client.keys.list({ size: 1 });
  return health;
}

function explained(error: LiteLLMError): LiteLLMError {
  const { status } = error.answer;
  if (status === 401 || status === 403) {
    return new LiteLLMError('litellm_refused', 'LiteLLM does not take this master key', error.answer);
  }
  if (status === 404 || status === 405) {
    return new LiteLLMError('litellm_unexpected', 'There is no LiteLLM at this URL: it knows no /health', error.answer);
  }
  return error;
}

function isOlder(version: string): boolean {
  const numbers = version.split('.').map((part) => Number.parseInt(part, 10));
  for (const [at, needed] of oldest.entries()) {
    const number = numbers[at] ?? 0;
    if (number !== needed) return number < needed;
  }
  return false;
}
