import { LiteLLMError } from '../errors.ts';
import type { VirtualKeys } from '../keys/virtual-keys.ts';
import { createLiteLLMClient, createVault, type Mirror, mirrorToLiteLLM } from '../litellm/index.ts';
import { type LiteLLMSettings, StartError } from './environment.ts';

/** The mirror that the environment asks for, not yet started. @throws StartError where it cannot be */
export function createMirror(
  keys: VirtualKeys,
  { baseUrl, masterKey, deploymentId, vaultKey }: LiteLLMSettings,
): Mirror {
  try {
    const client = createLiteLLMClient({ baseUrl, masterKey });
    const waiting =
      vaultKey === undefined ? {} : ({ whenDown: 'queue', vault: createVault({ key: vaultKey }) } as const);
    return mirrorToLiteLLM({ keys, client, deploymentId, ...waiting });
  } catch (error) {
    throw error instanceof TypeError ? new StartError(`LITELLM_BASE_URL: ${error.message}`, { cause: error }) : error;
  }
}

const startAgainMs = 5000;

/**
 * Starts a mirror, and goes on trying where LiteLLM is away: keys are good here without it. The function returned gives up.
 *
 * @throws StartError saying what is wrong with the proxy
 */
export async function keepStarting(mirror: Mirror, warn: (message: string) => void): Promise<() => void> {
  let timer: NodeJS.Timeout | undefined;
  const tryAgain = () => {
    timer = setTimeout(() => {
      mirror.start().catch((error: unknown) => {
        if (error instanceof LiteLLMError && error.code !== 'litellm_unavailable') warn(`LiteLLM: ${error.message}`);
        tryAgain();
      });
    }, startAgainMs);
  };
  try {
    await startMirror(mirror);
  } catch (error) {
    const { cause } = error instanceof StartError ? error : {};
    if (!(cause instanceof LiteLLMError) || cause.code !== 'litellm_unavailable') throw error;
    warn(`${cause.message}; keys reach it when it is there`);
    tryAgain();
  }
  return () => clearTimeout(timer);
}

/** @throws StartError saying what is wrong with the proxy */
export async function startMirror(mirror: Mirror): Promise<void> {
  try {
    await mirror.start();
  } catch (error) {
    if (error instanceof LiteLLMError) throw new StartError(`LITELLM_BASE_URL: ${error.message}`, { cause: error });
    throw error;
  }
}
