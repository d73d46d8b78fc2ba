import { LiteLLMError } from '../../errors.ts';
import { type LiteLLMKey, type LiteLLMKeyPage, readReply, replies } from './replies.ts';
import { tokenOf } from './token.ts';
import type { Transport } from './transport.ts';

/** What a key of LiteLLM may be told to be, under LiteLLM's own names. `null` clears a limit; what is left out stays. */
export interface LiteLLMKeySettings {
  readonly key_alias?: string | undefined;
  /** An empty list means every model there. */
  readonly models?: readonly string[] | undefined;
  readonly user_id?: string | null | undefined;
  readonly team_id?: string | null | undefined;
  /** USD. */
  readonly max_budget?: number | null | undefined;
  /** `60s`, `5m`, `1h`, `1d`, `7d`, `1mo`: releases read other forms differently. */
  readonly budget_duration?: string | null | undefined;
  /** USD, set and not added. */
  readonly spend?: number | undefined;
  readonly rpm_limit?: number | null | undefined;
  readonly tpm_limit?: number | null | undefined;
  readonly max_parallel_requests?: number | null | undefined;
  readonly model_rpm_limit?: { readonly [model: string]: number } | undefined;
  readonly model_tpm_limit?: { readonly [model: string]: number } | undefined;
  readonly model_max_budget?: { readonly [model: string]: unknown } | undefined;
  readonly soft_budget?: number | undefined;
  readonly tags?: readonly string[] | undefined;
  /** Life from now on, such as `3600s`; `-1` clears it. */
  readonly duration?: string | undefined;
  readonly blocked?: boolean | undefined;
  /** Replaces all of it, the limits per model included. */
  readonly metadata?: { readonly [name: string]: unknown } | undefined;
}

export interface LiteLLMKeyQuery {
  /** From 1. */
  readonly page?: number | undefined;
  /** At most 100. */
  readonly size?: number | undefined;
  readonly key_alias?: string | undefined;
  readonly user_id?: string | undefined;
  readonly team_id?: string | undefined;
}

/** Keys of LiteLLM. A token is the SHA-256 of a secret, in hex. */
export interface LiteLLMKeys {
  /**
   * Makes a key of a given secret, and answers what LiteLLM then has: a secret that was there keeps its old settings, so
   * compare. Where the outcome of a try is not known, it is looked up before there is another.
   */
  generate(settings: LiteLLMKeySettings & { readonly key: string }): Promise<LiteLLMKey>;
  /** @throws LiteLLMError with `answer.status` 404 for an unknown key */
  update(token: string, settings: LiteLLMKeySettings): Promise<void>;
  /** `undefined` for a key that is unknown or was deleted. */
  find(token: string): Promise<LiteLLMKey | undefined>;
  /** A page in the order of tokens, which no new key disturbs but by its own place. */
  list(query?: LiteLLMKeyQuery): Promise<LiteLLMKeyPage>;
  /** Aliases that contain a text. */
  aliases(query: {
    readonly search?: string;
    readonly page?: number;
    readonly size?: number;
  }): Promise<readonly string[]>;
  /** @throws LiteLLMError with `answer.status` 404 for an unknown key */
  block(token: string): Promise<void>;
  unblock(token: string): Promise<void>;
  /** Removes keys; those that were not there are no error. */
  delete(tokens: readonly string[]): Promise<void>;
}

const generateTries = 3;

export function createKeys(send: Transport): LiteLLMKeys {
  async function find(token: string): Promise<LiteLLMKey | undefined> {
    const path = '/key/info';
    try {
      const { body } = await send({ method: 'GET', path, query: { key: token }, isRepeatable: true });
      const { status, ...key } = readReply(replies.keyInfo, path, body).info;
      return status === 'deleted' ? undefined : { ...key, token };
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async function post(path: string, body: unknown): Promise<unknown> {
    return (await send({ method: 'POST', path, body, isRepeatable: true })).body;
  }

  return {
    find,

    async generate(settings) {
      const token = tokenOf(settings.key);
      for (let tries = 1; ; tries += 1) {
        try {
          await send({ method: 'POST', path: '/key/generate', body: settings, isRepeatable: false });
        } catch (error) {
          if (!(error instanceof LiteLLMError) || error.code !== 'litellm_unavailable') throw error;
          const made = await find(token);
          if (made !== undefined) return made;
          if (tries === generateTries) throw error;
          continue;
        }
        const made = await find(token);
        if (made === undefined)
          throw new LiteLLMError('litellm_unexpected', 'The key that LiteLLM made cannot be read');
        return made;
      }
    },

    async update(token, settings) {
      await post('/key/update', { ...settings, key: token });
    },

    async list({ page = 1, size = 100, ...filter } = {}) {
      const path = '/key/list';
      const query = { ...filter, page, size, return_full_object: 'true', sort_by: 'token', sort_order: 'asc' };
      const { body } = await send({ method: 'GET', path, query, isRepeatable: true });
      return readReply(replies.keyPage, path, body);
    },

    async aliases(query) {
      const path = '/key/aliases';
      const { body } = await send({ method: 'GET', path, query, isRepeatable: true });
      return readReply(replies.aliases, path, body).aliases;
    },

    async block(token) {
      await post('/key/block', { key: token });
    },

    async unblock(token) {
      await post('/key/unblock', { key: token });
    },

    async delete(tokens) {
      if (tokens.length === 0) return;
      try {
        readReply(replies.deleted, '/key/delete', await post('/key/delete', { keys: tokens }));
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    },
  };
}

export function isNotFound(error: unknown): boolean {
  return error instanceof LiteLLMError && error.answer.status === 404;
}
