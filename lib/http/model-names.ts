import { isModelName } from '../keys/model-access.ts';
import { isObject, type JsonObject } from '../usage/formats/json.ts';
import type { Refusal } from './refusal.ts';

/** The names of models in a body, or why it cannot be read. */
export type BodyModels =
  | { readonly model: string | null; readonly alternatives: readonly string[] }
  | { readonly refusal: Refusal };

/** More names than a caller needs are work for nothing: each is judged and priced. */
const maxAlternatives = 32;

/**
 * Every model that a body names: its own, those of `models[]`, and `fallbacks[]` as names or as objects with a `model`.
 * Without a model of its own the first of `models[]` is it.
 */
export function readBodyModels(body: JsonObject, modelField: string): BodyModels {
  const { [modelField]: own, models, fallbacks } = body;
  if (own !== undefined && !isModelName(own)) return invalidName(modelField);
  const listed = names(models);
  if (listed === undefined) return invalidName('models');
  const replacing = names(fallbacks);
  if (replacing === undefined) return invalidName('fallbacks');
  return { model: own ?? listed[0] ?? null, alternatives: [...listed, ...replacing] };
}

/** Gemini's bodies repeat the model of their path, in parts of their own and with its collection before it. */
export function repeatedModels(body: JsonObject): readonly unknown[] {
  const parts = [body.generateContentRequest, ...(Array.isArray(body.requests) ? body.requests : [])];
  return parts.flatMap((part) => (isObject(part) && part.model !== undefined ? [part.model] : []));
}

/** `models/gemini-2.5-pro` → `gemini-2.5-pro`. */
export function withoutCollection(model: unknown): unknown {
  return typeof model === 'string' && model.startsWith('models/') ? model.slice('models/'.length) : model;
}

function names(list: unknown): readonly string[] | undefined {
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list) || list.length > maxAlternatives) return undefined;
  const found: string[] = [];
  for (const entry of list) {
    const name = isObject(entry) ? entry.model : entry;
    if (!isModelName(name)) return undefined;
    found.push(name);
  }
  return found;
}

function invalidName(field: string): { refusal: Refusal } {
  const problem =
    field === 'models' || field === 'fallbacks'
      ? `${field} must be a list of at most ${maxAlternatives} names of models.`
      : `${field} must be the name of a model: a string of 1 to 256 printable characters.`;
  return { refusal: { kind: 'invalid_body', problem, param: field } };
}
