import type { UsageReader } from './format.ts';
import { hasError, type JsonObject, objectAt, toldCount } from './json.ts';
import type { Reading } from './reading.ts';

/** OpenAI embeddings: input only. */
export function openAIEmbeddings(reading: Reading): UsageReader {
  function read(body: JsonObject): void {
    reading.named(body.model);
    if (hasError(body)) reading.error = true;
    const inputTokens = toldCount(objectAt(body, 'usage')?.prompt_tokens);
    if (inputTokens !== undefined) reading.told({ inputTokens, outputTokens: 0 });
  }
  return { readBody: read, readEvent: read };
}
