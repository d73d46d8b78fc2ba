import type { MeterFormat } from '../usage/formats/format.ts';
import type { JsonBody } from './request-body.ts';
import type { Route } from './route.ts';

const capFields: { readonly [format in MeterFormat]?: readonly string[] } = {
  'openai-chat': ['max_completion_tokens', 'max_tokens'],
  'openai-responses': ['max_output_tokens'],
  'anthropic-messages': ['max_tokens'],
  'gemini-generate': ['maxOutputTokens'],
};

/** The fields that cap the output of a route; Gemini's is in its `generationConfig`. `undefined`: none is known. */
export function capFieldsOf({ format, endpoint }: Route): readonly string[] | undefined {
  // Legacy completions know no other name.
  return endpoint === '/v1/completions' ? ['max_tokens'] : capFields[format];
}

/**
 * The body with its output capped: the fields that stand there are lowered, else the first is written. `undefined` where
 * the route has no cap that could be written.
 */
export function withOutputCap(route: Route, body: JsonBody, cap: number): JsonBody | undefined {
  if (route.format === 'gemini-generate') return { ...body, generationConfig: geminiConfig(body, cap) };
  const fields = capFieldsOf(route);
  if (fields === undefined) return undefined;
  const present = fields.filter((field) => body[field] !== undefined && body[field] !== null);
  const written = present.length > 0 ? present : fields.slice(0, 1);
  return { ...body, ...Object.fromEntries(written.map((field) => [field, lower(body[field], cap)])) };
}

function geminiConfig({ generationConfig }: JsonBody, cap: number): object {
  const config = typeof generationConfig === 'object' && generationConfig !== null ? generationConfig : {};
  return { ...config, maxOutputTokens: lower('maxOutputTokens' in config ? config.maxOutputTokens : undefined, cap) };
}

function lower(current: unknown, cap: number): number {
  return typeof current === 'number' && current > 0 ? Math.min(current, cap) : cap;
}
