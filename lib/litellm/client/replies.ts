import Joi from 'joi';
import { LiteLLMError } from '../../errors.ts';

/** A key as LiteLLM keeps it, under LiteLLM's own names. */
export interface LiteLLMKey {
  /** SHA-256 of the secret, hex; `null` where a release leaves it out. */
  readonly token: string | null;
  readonly key_alias: string | null;
  /** The end of the secret: `sk-...7f3a`. */
  readonly key_name: string | null;
  /** USD. */
  readonly spend: number;
  /** ISO 8601. */
  readonly expires: string | null;
  readonly models: readonly string[];
  readonly user_id: string | null;
  readonly team_id: string | null;
  readonly max_budget: number | null;
  readonly budget_duration: string | null;
  readonly budget_reset_at: string | null;
  readonly rpm_limit: number | null;
  readonly tpm_limit: number | null;
  readonly tpd_limit: number | null;
  readonly max_parallel_requests: number | null;
  /** Further budgets, of newer releases. */
  readonly budget_limits: readonly unknown[];
  /** Limits that several keys may share. */
  readonly litellm_budget_table: { readonly [name: string]: unknown };
  /** Empty: all. */
  readonly allowed_routes: readonly string[];
  readonly model_max_budget: { readonly [model: string]: unknown };
  readonly metadata: { readonly [name: string]: unknown };
  readonly blocked: boolean;
  readonly created_at: string | null;
}

export interface LiteLLMKeyPage {
  readonly keys: readonly LiteLLMKey[];
  readonly total_count: number;
  readonly current_page: number;
  readonly total_pages: number;
}

export interface LiteLLMModel {
  readonly model_name: string;
  readonly model_info: { readonly [name: string]: unknown };
}

export interface LiteLLMTeam {
  readonly team_id: string;
  readonly team_alias: string | null;
  readonly models: readonly string[];
  readonly max_budget: number | null;
  readonly spend: number;
  readonly blocked: boolean;
}

export interface LiteLLMUser {
  readonly user_id: string;
  readonly user_email: string | null;
  readonly max_budget: number | null;
  readonly spend: number;
}

/** One call in LiteLLM's spend log. */
export interface LiteLLMSpend {
  readonly request_id: string;
  /** SHA-256 of the secret that paid. */
  readonly api_key: string;
  readonly model: string;
  readonly model_group: string | null;
  /** USD. */
  readonly spend: number;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly startTime: string;
  readonly endTime: string;
  /** `failure`: it consumed nothing. */
  readonly status: string | null;
}

export interface LiteLLMSpendPage {
  readonly data: readonly LiteLLMSpend[];
  readonly total: number;
  readonly page: number;
  readonly total_pages: number;
}

const text = Joi.string().allow('');
const textOrNull = text.allow(null).default(null);
// Keys of others may have limits that no number here is exact for.
const numberOrNull = Joi.number().unsafe().allow(null).default(null);
const names = Joi.array().items(text).allow(null).empty(null).default([]);
const object = Joi.object().unknown().allow(null).empty(null).default({});
const lenient = { stripUnknown: true, convert: false } as const;

const key = Joi.object<LiteLLMKey>({
  token: textOrNull,
  key_alias: textOrNull,
  key_name: textOrNull,
  spend: Joi.number().allow(null).empty(null).default(0),
  expires: textOrNull,
  models: names,
  user_id: textOrNull,
  team_id: textOrNull,
  max_budget: numberOrNull,
  budget_duration: textOrNull,
  budget_reset_at: textOrNull,
  rpm_limit: numberOrNull,
  tpm_limit: numberOrNull,
  tpd_limit: numberOrNull,
  max_parallel_requests: numberOrNull,
  budget_limits: Joi.array().items(Joi.any()).allow(null).empty(null).default([]),
  litellm_budget_table: object,
  allowed_routes: names,
  model_max_budget: object,
  metadata: object,
  blocked: Joi.boolean().allow(null).empty(null).default(false),
  created_at: textOrNull,
}).required();

const team = Joi.object<LiteLLMTeam>({
  team_id: text.required(),
  team_alias: textOrNull,
  models: names,
  max_budget: numberOrNull,
  spend: Joi.number().allow(null).empty(null).default(0),
  blocked: Joi.boolean().allow(null).empty(null).default(false),
});

const user = Joi.object<LiteLLMUser>({
  user_id: text.required(),
  user_email: textOrNull,
  max_budget: numberOrNull,
  spend: Joi.number().allow(null).empty(null).default(0),
});

const count = Joi.number().integer().min(0).required();

/** The answers of the endpoints that are used, as far as they are used. */
export const replies = {
  key,
  /** `status` is told by newer releases only, and not by every endpoint. */
  keyInfo: Joi.object<{ key: string | null; info: LiteLLMKey & { status: string | null } }>({
    key: textOrNull,
    info: key.append({ status: textOrNull }),
  }).required(),
  keyPage: Joi.object<LiteLLMKeyPage>({
    // A required item would refuse the empty page.
    keys: Joi.array().items(key.optional()).required(),
    total_count: count,
    current_page: count,
    total_pages: count,
  }).required(),
  aliases: Joi.object<{ aliases: string[]; total_count: number; total_pages: number }>({
    aliases: Joi.array().items(text).required(),
    total_count: count,
    total_pages: count,
  }).required(),
  deleted: Joi.object<{ deleted_keys: string[] }>({ deleted_keys: Joi.array().items(text).required() }).required(),
  team: team.required(),
  teamInfo: Joi.object<{ team_info: LiteLLMTeam }>({ team_info: team.required() }).required(),
  userInfo: Joi.object<{ user_info: LiteLLMUser }>({ user_info: user.required() }).required(),
  user: user.required(),
  models: Joi.object<{ data: LiteLLMModel[] }>({
    data: Joi.array()
      .items(Joi.object({ model_name: text.required(), model_info: object }))
      .required(),
  }).required(),
  spendPage: Joi.object<LiteLLMSpendPage>({
    data: Joi.array()
      .items(
        Joi.object({
          request_id: text.required(),
          api_key: text.required(),
          model: text.required(),
          model_group: textOrNull,
          spend: Joi.number().required(),
          prompt_tokens: Joi.number().allow(null).empty(null).default(0),
          completion_tokens: Joi.number().allow(null).empty(null).default(0),
          startTime: text.required(),
          endTime: text.required(),
          status: textOrNull,
        }),
      )
      .required(),
    total: count,
    page: count,
    total_pages: count,
  }).required(),
  readiness: Joi.object<{ status: string; db: string; litellm_version: string | null }>({
    status: text.required(),
    db: text.required(),
    litellm_version: textOrNull,
  }).required(),
  license: Joi.object<{ has_license: boolean }>({ has_license: Joi.boolean().required() }).required(),
};

/** What a reply says, by its schema. @throws LiteLLMError `litellm_unexpected` naming the endpoint, never what was sent */
export function readReply<T>(schema: Joi.Schema<T>, path: string, body: unknown): T {
  const { error, value } = schema.validate(body, { ...lenient, errors: { label: 'path', wrap: { label: false } } });
  if (error === undefined) return value;
  const problem = error.details.map(({ path: at, type }) => `${at.join('.') || 'body'} ${type}`).join(', ');
  throw new LiteLLMError('litellm_unexpected', `The answer to ${path} is not LiteLLM's: ${problem}`);
}
