import { fakeLiteLLM, type Generation } from './fake-litellm.ts';

/** A LiteLLM proxy with its admin API. */
export interface LiteLLMProxy {
  readonly baseUrl: string;
  readonly masterKey: string;
  readonly isReal: boolean;
  readonly generation: Generation;
  close(): Promise<void>;
}

/**
 * The proxy of LITELLM_BASE_URL and LITELLM_MASTER_KEY, else a server that answers as LiteLLM does. The same tests run on
 * both, so that the one is proven by the other.
 */
export async function litellmProxy(): Promise<LiteLLMProxy> {
  const { LITELLM_BASE_URL: baseUrl, LITELLM_MASTER_KEY: masterKey, LITELLM_VERSION = '1.109.1' } = process.env;
  if (baseUrl === undefined || masterKey === undefined) return fakeLiteLLM();
  const generation = Number(LITELLM_VERSION.split('.')[1]) < 90 ? 'old' : 'new';
  return { baseUrl, masterKey, isReal: true, generation, async close() {} };
}
