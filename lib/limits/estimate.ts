import { isObject, type JsonObject } from '../usage/formats/json.ts';
import { maxTokenCount } from '../usage/usage.ts';
import { type Attachment, attachmentIn, mediaTokens } from './media-tokens.ts';
import { type OutputKind, outputCount, outputTokens } from './output-tokens.ts';

export type { OutputKind } from './output-tokens.ts';

export interface EstimateOptions {
  readonly output: OutputKind;
  /** The names under which the endpoint takes a cap of its output; absent: every name that is known. */
  readonly capFields?: readonly string[] | undefined;
  /** Estimated for each thing that the provider keeps: an earlier response, a conversation, cached content, a file. */
  readonly stateTokens: number;
  /** Estimated where nothing in the body tells. */
  readonly minimumTokens: number;
}

/** What a request may consume, known before it is sent upstream. */
export interface TokenEstimate {
  readonly inputTokens: number;
  /** All answers together; `null`: the body has no cap, so each may be as long as the model can make it. */
  readonly outputTokens: number | null;
  /** How many answers are asked for. */
  readonly outputs: number;
}

/** Fields of a body, of any provider, whose texts a model reads. */
const readFields: ReadonlySet<string> = new Set([
  ...['messages', 'prompt', 'suffix', 'input', 'instructions', 'system', 'tools', 'functions'],
  ...['response_format', 'text', 'prediction', 'documents', 'query'],
  ...['contents', 'content', 'systemInstruction', 'system_instruction', 'generationConfig', 'generation_config'],
  ...['requests', 'generateContentRequest'],
  ...['previous_response_id', 'conversation', 'cachedContent', 'cached_content'],
]);

/** Fields that hold schemas. A model reads these as they stand, so that the names of properties count as well. */
const schemaFields: ReadonlySet<string> = new Set([
  ...['tools', 'functions', 'response_format', 'text'],
  ...['responseSchema', 'response_schema', 'responseJsonSchema', 'response_json_schema'],
]);

const bytesPerToken = 4;
/** A body from JSON cannot have more values than this; one that an app has changed may refer to itself. */
const maxValues = 10_000_000;

/**
 * Estimates the tokens of a request by its body: every text that a model reads at four bytes a token, and the JSON of
 * schemas likewise; media by a fixed table, what the provider keeps by `stateTokens`, a list of tokens by its length; and
 * the largest cap for the output.
 * Never throws, whatever the body.
 */
export function estimateTokens(body: unknown, options: EstimateOptions): TokenEstimate {
  const fields = isObject(body) ? body : {};
  const counted = countInput(fields, options);
  const media = options.output === 'transcript' ? mediaTokens.audio : 0;
  const inputTokens = Math.min(maxTokenCount, counted + media) || options.minimumTokens;
  const outputs = outputCount(fields);
  return {
    inputTokens,
    outputTokens: outputTokens(fields, options.output, inputTokens, { outputs, capFields: options.capFields }),
    outputs,
  };
}

function countInput(body: JsonObject, { stateTokens }: EstimateOptions): number {
  let tokens = 0;
  let bytes = 0;
  let left = maxValues;
  // A stack of its own: strangers nest deeper than calls can.
  const waiting: unknown[] = [];

  const tokensOf = (attachment: Attachment) => (attachment === 'state' ? stateTokens : mediaTokens[attachment]);

  function takeText(text: string): void {
    bytes += Buffer.byteLength(text);
  }

  /** As many bytes as its JSON has, but for escapes. */
  function takeJson(json: object): void {
    const parts: unknown[] = [json];
    for (; parts.length > 0 && left > 0; left -= 1) {
      const part = parts.pop();
      if (Array.isArray(part)) {
        bytes += bytesAround(part.length);
        for (const item of part) parts.push(item);
      } else if (isObject(part)) {
        const names = Object.keys(part);
        bytes += bytesAround(names.length);
        for (const name of names) {
          bytes += Buffer.byteLength(name) + '"":'.length;
          parts.push(part[name]);
        }
      } else {
        takeText(String(part));
        if (typeof part === 'string') bytes += '""'.length;
      }
    }
  }

  function takeFields(part: JsonObject, isRead?: ReadonlySet<string>): void {
    for (const field in part) {
      if (isRead !== undefined && !isRead.has(field)) continue;
      const value = part[field];
      if (typeof value === 'number' || value === null) continue;
      const attachment = attachmentIn(part, field, value);
      if (attachment !== undefined) tokens += tokensOf(attachment);
      else if (typeof value === 'string') takeText(value);
      else if (typeof value === 'object' && schemaFields.has(field)) takeJson(value);
      else waiting.push(value);
    }
  }

  takeFields(body, readFields);
  // The template of a prompt that the provider keeps.
  if (isObject(body.prompt) && typeof body.prompt.id === 'string') tokens += stateTokens;
  while (waiting.length > 0 && left > 0) {
    left -= 1;
    const value = waiting.pop();
    if (typeof value === 'string') takeText(value);
    else if (typeof value === 'number') tokens += 1;
    else if (Array.isArray(value)) {
      for (const item of value) waiting.push(item);
    } else if (isObject(value)) {
      if (value.type === 'item_reference') tokens += stateTokens;
      takeFields(value);
    }
  }
  return Math.ceil(tokens + bytes / bytesPerToken);
}

/** The brackets around so many values, and the commas between them. */
function bytesAround(values: number): number {
  return 2 + Math.max(0, values - 1);
}
