import { LiteLLMError } from '../../errors.ts';
import { refuseUnknownOptions } from '../../options.ts';
import { createKeys, isNotFound, type LiteLLMKeys } from './keys.ts';
import {
  type LiteLLMModel,
  type LiteLLMSpendPage,
  type LiteLLMTeam,
  type LiteLLMUser,
  readReply,
  replies,
} from './replies.ts';
import { createTransport } from './transport.ts';

export interface LiteLLMClientOptions {
  /** Where the proxy answers: `http://litellm:4000`, with its path prefix if it has one. */
  readonly baseUrl: string;
  /** Or the key of an admin. It is sent to `baseUrl`, and told nowhere. */
  readonly masterKey: string;
  /** For one attempt; there are up to three of what may be repeated. @defaultValue 10,000 */
  readonly timeoutMs?: number | undefined;
}

export interface LiteLLMHealth {
  /** Such as `1.109.1`; `null`: it does not say. */
  readonly version: string | null;
  readonly hasDatabase: boolean;
  /** `null`: it does not say. */
  readonly hasLicense: boolean | null;
}

export interface LiteLLMSpendQuery {
  /** SHA-256 of the secret that paid, in hex. */
  readonly token: string;
  readonly fromMs: number;
  readonly untilMs: number;
  /** From 1. */
  readonly page?: number | undefined;
}

/** Hears of what was sent, whatever becomes of the call that sent it. */
export interface SendListener {
  /** A key was made, or may be made even later, whatever is found until then. */
  readonly onMaking?: (() => void) | undefined;
  /** A change was sent and not answered: it may be carried out even later. */
  readonly onUnanswered?: (() => void) | undefined;
}

/** LiteLLM's admin API, as far as keys need it. Every method throws LiteLLMError when the call was not carried out. */
export interface LiteLLMClient {
  /** For one attempt. */
  readonly timeoutMs: number;
  readonly keys: LiteLLMKeys;
  /** The same keys, for which nothing is sent from a moment of `performance.now()` on, not even a further attempt. */
  keysUntil(sendUntilMs: number, listener?: SendListener): LiteLLMKeys;
  readonly teams: {
    find(teamId: string): Promise<LiteLLMTeam | undefined>;
    /** One that is there already stays as it is. */
    create(team: { readonly team_id: string; readonly team_alias?: string }): Promise<void>;
  };
  readonly users: {
    find(userId: string): Promise<LiteLLMUser | undefined>;
    /** Without a key of its own. One that is there already stays as it is. */
    create(user: { readonly user_id: string; readonly user_email?: string }): Promise<void>;
  };
  /** The models that the proxy serves. */
  models(): Promise<readonly LiteLLMModel[]>;
  /** The calls that a key paid for and that began in a stretch of time, newest first, up to 100 a page. */
  spendLogs(query: LiteLLMSpendQuery): Promise<LiteLLMSpendPage>;
  /** @throws LiteLLMError saying whether the URL, the key or the database is what is wrong */
  health(): Promise<LiteLLMHealth>;
}

/**
 * A client of the admin API of a LiteLLM proxy. Reads and what may safely be done twice are tried up to three times, with
 * growing pauses or the one that LiteLLM asks for; after five failures in a row it is left alone for 30 seconds.
 *
 * @throws TypeError for an unknown option, a URL that is none, or an empty key
 */
export function createLiteLLMClient(options: LiteLLMClientOptions): LiteLLMClient {
  const { baseUrl, masterKey, timeoutMs } = checkOptions(options);
  const send = createTransport({ baseUrl, masterKey, timeoutMs });

  async function read<T>(path: string, schema: Parameters<typeof readReply<T>>[0], query = {}): Promise<T> {
    const { body } = await send({ method: 'GET', path, query, isRepeatable: true });
    return readReply(schema, path, body);
  }

  /** What is there; `undefined` for what LiteLLM answers 404. */
  async function findBy<T>(reading: Promise<T>): Promise<T | undefined> {
    try {
      return await reading;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Adds what is not there yet, also where another process does the same. */
  async function add(path: string, body: unknown, find: () => Promise<unknown>): Promise<void> {
    try {
      await send({ method: 'POST', path, body, isRepeatable: true });
    } catch (error) {
      const isRefused = error instanceof LiteLLMError && error.code === 'litellm_refused';
      if (!isRefused || (await find()) === undefined) throw error;
    }
  }

  const teams: LiteLLMClient['teams'] = {
    find: async (team_id) => (await findBy(read('/team/info', replies.teamInfo, { team_id })))?.team_info,
    create: (team) => add('/team/new', team, () => teams.find(team.team_id)),
  };
  const users: LiteLLMClient['users'] = {
    find: async (user_id) => (await findBy(read('/user/info', replies.userInfo, { user_id })))?.user_info,
    create: (user) => add('/user/new', { ...user, auto_create_key: false }, () => users.find(user.user_id)),
  };

  return {
    timeoutMs,
    keys: createKeys(send),
    keysUntil: (sendUntilMs, { onMaking, onUnanswered } = {}) =>
      createKeys(async (request) => {
        let mayBeDone = !request.isRepeatable;
        const isChange = request.method !== 'GET';
        try {
          return await send({ ...request, sendUntilMs, onUnanswered: isChange ? onUnanswered : undefined });
        } catch (error) {
          mayBeDone &&= error instanceof LiteLLMError && error.code === 'litellm_unavailable' && error.answer.wasSent;
          throw error;
        } finally {
          if (mayBeDone) onMaking?.();
        }
      }),
    teams,
    users,
    models: async () => (await read('/model/info', replies.models)).data,
    spendLogs: ({ token, fromMs, untilMs, page = 1 }) =>
      read('/spend/logs/v2', replies.spendPage, {
        ...{ api_key: token, start_date: spendTime(fromMs), end_date: spendTime(untilMs), page, page_size: 100 },
      }),

    async health() {
      const open = await read('/health/readiness', replies.readiness);
      // The version moved to a page for admins; an older proxy knows no such page.
      const details = await findBy(read('/health/readiness/details', replies.readiness));
      const license = await findBy(read('/health/license', replies.license));
      return {
        version: details?.litellm_version ?? open.litellm_version,
        hasDatabase: (details?.db ?? open.db) === 'connected',
        hasLicense: license?.has_license ?? null,
      };
    },
  };
}

/** `2026-11-28 17:06:05`, in UTC: the only form that releases take. */
function spendTime(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace('T', ' ');
}

function checkOptions(options: LiteLLMClientOptions): { baseUrl: URL; masterKey: string; timeoutMs: number } {
  const where = 'createLiteLLMClient';
  refuseUnknownOptions(where, options, ['baseUrl', 'masterKey', 'timeoutMs']);
  const { baseUrl, masterKey, timeoutMs = 10_000 } = options;
  const url = typeof baseUrl === 'string' && URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
    throw new TypeError(`${where}: baseUrl must be an http or https URL without credentials, query or fragment`);
  }
  if (typeof masterKey !== 'string' || !/^[\x21-\x7e]+$/.test(masterKey)) {
    throw new TypeError(`${where}: masterKey must be printable characters without spaces`);
  }
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > 600_000) {
    throw new TypeError(`${where}: timeoutMs must be a whole number from 1 to 600,000`);
  }
  return { baseUrl: url, masterKey, timeoutMs };
}
