import type { MeterFormat } from '../usage/formats/format.ts';
import type { JsonBody } from './request-body.ts';
import type { Route } from './route.ts';

/** Fields that cap the output, by format: those that stand in the body are lowered, else the first is written. */
const capFields: { readonly [format in MeterFormat]?: readonly string[] } = {
  'openai-chat': ['max_completion_tokens', 'max_tokens'],
  'openai-responses': ['max_output_tokens'],
  'anthropic-messages': ['max_tokens'],
};

/** The body with its output capped; a lower cap stays. `undefined` where the route has no cap that could be written. */
export function withOutputCap({ format, endpoint }: Route, body: JsonBody, cap: number): JsonBody | undefined {
  if (format === 'gemini-generate') return { ...body, generationConfig: geminiConfig(body, cap) };
  // Legacy completions know no other name.
  const fields = endpoint === '/v1/completions' ? ['max_tokens'] : capFields[format];
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
