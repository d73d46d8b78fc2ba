import { isObject, type JsonObject } from '../usage/formats/json.ts';
import { maxTokenCount } from '../usage/usage.ts';

/** What the output of an endpoint is made of, as far as it can be foreseen. */
export type OutputKind =
  /** As long as a cap in the body allows; without one, as long as the model can. */
  | 'text'
  /** Embeddings, counts, moderations. */
  | 'none'
  /** So many images of a size and quality. */
  | 'images'
  /** The words of a recording. */
  | 'transcript'
  /** The text of the body, spoken. */
  | 'speech';

/** Tokens of one image, by quality, at the largest size. */
const imageTokens: { readonly [quality: string]: number } = { low: 408, medium: 1584, high: 6240 };
const unknownQualityTokens = 6240;
const none: JsonObject = {};
/** The longest output of OpenAI's transcription models. */
const transcriptTokens = 2000;
/** Spoken text has more tokens than written text: about two for each letter, where text has one for four. */
const spokenPerWritten = 8;

export interface OutputOptions {
  /** How many answers are asked for. @defaultValue what the body asks for */
  readonly outputs?: number | undefined;
  /**
   * The names under which the endpoint takes a cap. Any other is ignored there, and whoever sends one would have the
   * longest answer for the reservation of a short one. Absent: every name that is known.
   */
  readonly capFields?: readonly string[] | undefined;
}

/**
 * The most tokens that the answer may have: the largest cap that competes, for every answer that is asked for. `null`
 * where no cap can be read.
 */
export function outputTokens(
  body: JsonObject,
  kind: OutputKind,
  inputTokens: number,
  { outputs = outputCount(body), capFields }: OutputOptions = {},
): number | null {
  switch (kind) {
    case 'none':
      return 0;
    case 'transcript':
      return transcriptTokens;
    case 'speech':
      return bounded(inputTokens * spokenPerWritten);
    case 'images': {
      const quality = typeof body.quality === 'string' ? body.quality : '';
      const each = Object.hasOwn(imageTokens, quality) ? imageTokens[quality] : undefined;
      return bounded((each ?? unknownQualityTokens) * outputs);
    }
    case 'text': {
      const cap = largestCap(body, capFields);
      return cap === null ? null : bounded(cap * outputs);
    }
  }
}

/** How many answers a body asks for: alternatives (`n`, `best_of`, `candidateCount`) of each of its prompts. */
export function outputCount(body: JsonObject): number {
  const config = generationConfig(body);
  const alternatives = Math.max(
    count(body.n) ?? 1,
    count(body.best_of) ?? 1,
    count(config.candidateCount ?? config.candidate_count) ?? 1,
    1,
  );
  return bounded(alternatives * promptCount(body.prompt));
}

/** Legacy completions take a list of prompts, as texts or as lists of tokens, and answer each. */
function promptCount(prompt: unknown): number {
  return Array.isArray(prompt) && typeof prompt[0] !== 'number' ? Math.max(1, prompt.length) : 1;
}

function largestCap(body: JsonObject, capFields: readonly string[] = knownCapFields): number | null {
  const config = generationConfig(body);
  let largest = 0;
  for (const field of capFields) {
    const cap = field === 'maxOutputTokens' ? largestOfGemini(config) : capOf(body[field]);
    if (cap === null) return null;
    largest = Math.max(largest, cap);
  }
  return largest === 0 ? null : Math.max(largest, thinkingBudget(body, config));
}

/** 0: there is none. `null`: nobody knows, since what one provider refuses another may read as no cap at all. */
function capOf(value: unknown): number | null {
  if (value === undefined || value === null) return 0;
  return count(value) || null;
}

const knownCapFields = ['max_tokens', 'max_completion_tokens', 'max_output_tokens', 'maxOutputTokens'];

function largestOfGemini(config: JsonObject): number | null {
  const cap = capOf(config.maxOutputTokens);
  const other = capOf(config.max_output_tokens);
  return cap === null || other === null ? null : Math.max(cap, other);
}

/** Thinking is part of the output, and some providers let it go beyond the cap. 0 and -1 are no amounts. */
function thinkingBudget(body: JsonObject, config: JsonObject): number {
  const ofAnthropic = isObject(body.thinking) ? body.thinking.budget_tokens : undefined;
  const ofGemini = isObject(config.thinkingConfig) ? config.thinkingConfig.thinkingBudget : undefined;
  return Math.max(count(ofAnthropic) ?? 0, count(ofGemini) ?? 0);
}

function generationConfig(body: JsonObject): JsonObject {
  const config = body.generationConfig ?? body.generation_config;
  return isObject(config) ? config : none;
}

/** A whole number of 0 or more, also where it came as text: lenient servers read `"100"` as 100. */
function count(value: unknown): number | undefined {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) && number >= 0 ? bounded(number) : undefined;
}

function bounded(tokens: number): number {
  return Math.min(maxTokenCount, Math.ceil(tokens));
}
