import { isDeepStrictEqual } from 'node:util';
import Joi from 'joi';
import { InvalidRequestError, type Problem } from '../errors.ts';
import { isBudgetDuration } from '../limits/budget-period.ts';
import type { Scope } from '../limits/limit.ts';
import { rateLimitPresets } from '../limits/presets.ts';
import { maxAmountUsd } from '../usage/money.ts';
import { isNetwork } from './address.ts';
import { keyEdits, policyEdits } from './input-edits.ts';
import { blankKey, completePolicy, editKey, type KeyFields, type PolicyFields } from './key-fields.ts';
import type { KeyInput, KeyPatch, PolicyInput, Quotas } from './key-input.ts';
import { maxMetadataBytes, readMetadata } from './metadata.ts';
import { readMoment } from './moment.ts';
import { checkDefaults } from './quotas.ts';
import { check, line, parse } from './schema.ts';

/** Where a policy stands. */
type PolicyScope = Exclude<Scope, { readonly key: string }>;

/** Longest life that `expiresInDays` gives: ten years. */
const maxDays = 3650;
const count = Joi.number().integer().min(0);
const amountUsd = Joi.number().min(0).max(maxAmountUsd);
const days = Joi.number().integer().min(1).max(maxDays);
const duration = Joi.string().custom((value: string, { message }) =>
  isBudgetDuration(value)
    ? value
    : message({ custom: 'must be hourly, daily, weekly, monthly, yearly, total, or a length such as 12h, 30d or 1mo' }),
);
const pattern = line(256)
  .pattern(/^[^*]*\*?$/)
  .messages({ 'string.pattern.base': 'must not be blank, and may have a * at its end only' });
const models = Joi.array().items(pattern).max(1000);
const endpoints = Joi.array()
  .items(
    pattern
      .pattern(/^[/*]/)
      .messages({ 'string.pattern.base': 'must be a path that begins with /, with a * at its end only' }),
  )
  .max(1000);
const budget = Joi.object({ maxBudget: amountUsd.required(), budgetDuration: duration.required() });
const perModel = (value: Joi.Schema) => Joi.object().pattern(pattern, value).max(100).allow(null);

const network = Joi.string().custom((value: string, { message }) =>
  isNetwork(value) ? value : message({ custom: 'must be an address, or a network such as 192.0.2.0/24' }),
);

const limits = {
  rpmLimit: count.allow(null),
  tpmLimit: count.allow(null),
  rpdLimit: count.allow(null),
  tpdLimit: count.allow(null),
  maxParallelRequests: count.allow(null),
  maxTokensPerRequest: count.allow(null),
  maxBudget: amountUsd.allow(null),
  softBudget: amountUsd.allow(null),
  budgetDuration: duration.allow(null),
  budgets: Joi.array().items(budget).max(16).unique('budgetDuration').allow(null),
  modelRpmLimit: perModel(count),
  modelTpmLimit: perModel(count),
  modelMaxBudget: perModel(Joi.alternatives(amountUsd, budget)),
};

const access = {
  endpoints: endpoints.allow(null),
  permissions: Joi.object({
    allowChatCompletions: Joi.boolean(),
    allowEmbeddings: Joi.boolean(),
    allowCompletions: Joi.boolean(),
  }).allow(null),
  rateLimitEnabled: Joi.boolean(),
  rateLimitPreset: Joi.valid(...Object.keys(rateLimitPresets)).allow(null),
  allowedIps: Joi.array().items(network).max(1000).allow(null),
};

const keyShape = Joi.object({
  ...limits,
  ...access,
  name: line(255),
  models,
  modelIds: models.custom(sameAsModels),
  ownerId: line(256).allow(null),
  teamId: line(256).allow(null),
  expiresAt: Joi.any().custom(futureMoment).allow(null),
  expiresInDays: days,
  tags: Joi.array().items(line(64)).max(50).allow(null),
  metadata: Joi.any().custom(jsonObject).allow(null),
}).nand('expiresAt', 'expiresInDays');

const keyPatch: Joi.Schema<KeyPatch> = keyShape;
const newKey: Joi.Schema<KeyInput> = keyShape.keys({ name: line(255).required() }).or('models', 'modelIds');

const policy = Joi.object<PolicyInput>({ ...limits, models: models.allow(null), endpoints: endpoints.allow(null) });

const quotas = Joi.object<Quotas>({
  defaults: Joi.object({ ...limits, ...access, expiresInDays: days }).default({}),
  maximums: Joi.object({
    rpmLimit: count,
    tpmLimit: count,
    rpdLimit: count,
    tpdLimit: count,
    maxParallelRequests: count,
    maxTokensPerRequest: count,
    maxBudget: amountUsd,
    expiresInDays: days,
  }).default({}),
});

const scope = Joi.alternatives<PolicyScope>(
  Joi.valid('global'),
  Joi.object({ user: line(256), team: line(256) }).xor('user', 'team'),
);

/** The fields of a new key. @throws InvalidRequestError with every problem of the input */
export function parseKeyInput(input: unknown, nowMs: number): KeyFields {
  return editKey(blankKey, keyEdits(parse(newKey, input, { nowMs }), nowMs));
}

/** The fields of a key after a patch; what the patch omits stays. @throws InvalidRequestError as {@link parseKeyInput} */
export function applyKeyPatch(current: KeyFields, patch: unknown, nowMs: number): KeyFields {
  return editKey(current, keyEdits(parse(keyPatch, patch, { nowMs }), nowMs));
}

/** The fields of a policy. @throws InvalidRequestError as {@link parseKeyInput} */
export function parsePolicyInput(input: unknown): PolicyFields {
  return completePolicy(policyEdits(parse(policy, input)));
}

/**
 * Defaults and maximums, made of ordinary objects.
 *
 * @throws InvalidRequestError as {@link parseKeyInput}
 * @throws QuotaLimitsExceededError when a default passes its maximum
 */
export function parseDefaultsInput(input: unknown): Quotas {
  const parsed: Quotas = JSON.parse(JSON.stringify(parse(quotas, input)));
  checkDefaults(parsed);
  return parsed;
}

/** @throws InvalidRequestError */
export function parseScope(input: unknown): PolicyScope {
  const checked = check(scope, input);
  if ('value' in checked) return checked.value;
  throw new InvalidRequestError([{ field: 'scope', message: "must be 'global', { user: id } or { team: id }" }]);
}

/** Every problem of an input for a new key, in place of an error. */
export function keyInputProblems(input: unknown, nowMs: number): readonly Problem[] {
  const checked = check(newKey, input, { nowMs });
  return 'problems' in checked ? checked.problems : [];
}

function sameAsModels(modelIds: unknown, { state, message }: Joi.CustomHelpers): unknown {
  const given: unknown = state.ancestors[0].models;
  return given === undefined || isDeepStrictEqual(given, modelIds)
    ? modelIds
    : message({ custom: 'must be the same as models, of which it is another name' });
}

function futureMoment(value: unknown, { prefs, message }: Joi.CustomHelpers): unknown {
  const ms = readMoment(value);
  if (ms === undefined) return message({ custom: 'must be ISO 8601 with a time zone, epoch milliseconds or a Date' });
  return ms > prefs.context?.nowMs ? value : message({ custom: 'must be in the future' });
}

function jsonObject(value: unknown, { message }: Joi.CustomHelpers): unknown {
  return readMetadata(value) ?? message({ custom: `must be a JSON object of at most ${maxMetadataBytes} bytes` });
}
