import { setTimeout as sleep } from 'node:timers/promises';
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
export async function keepStarting(
  mirror: Pick<Mirror, 'start' | 'stop'>,
  warn: (message: string) => void,
  pauseMs = startAgainMs,
): Promise<() => void> {
  const givenUp = new AbortController();
  try {
    await mirror.start();
  } catch (error) {
    if (!(error instanceof LiteLLMError) || !isAway(error)) throw startError(error);
    warn(`${error.message}; keys reach it when it is there`);
    void startLater(mirror, { warn, pauseMs, givenUp: givenUp.signal });
  }
  return () => givenUp.abort();
}

/** @throws StartError saying what is wrong with the proxy */
export async function startMirror(mirror: Mirror): Promise<void> {
  try {
    await mirror.start();
  } catch (error) {
    throw startError(error);
  }
}

async function startLater(
  mirror: Pick<Mirror, 'start' | 'stop'>,
  {
    warn,
    pauseMs,
    givenUp,
  }: { readonly warn: (message: string) => void; readonly pauseMs: number; readonly givenUp: AbortSignal },
): Promise<void> {
  for (;;) {
    await sleep(pauseMs, undefined, { signal: givenUp }).catch(() => undefined);
    if (givenUp.aborted) return;
    try {
      await mirror.start();
      // It may have been given up while LiteLLM was asked.
      if (givenUp.aborted) await mirror.stop();
      return;
    } catch (error) {
      if (error instanceof LiteLLMError && !isAway(error)) warn(`LiteLLM: ${error.message}`);
    }
  }
}

function isAway({ code }: LiteLLMError): boolean {
  return code === 'litellm_unavailable';
}

function startError(error: unknown): unknown {
  return error instanceof LiteLLMError ? new StartError(`LITELLM_BASE_URL: ${error.message}`, { cause: error }) : error;
}
