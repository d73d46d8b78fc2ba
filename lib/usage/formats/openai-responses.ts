import type { UsageReader } from './format.ts';
import { hasError, type JsonObject, objectAt, objectsIn, toldCount } from './json.ts';
import type { Reading } from './reading.ts';

const terminalTypes = new Set(['response.completed', 'response.incomplete', 'response.failed']);

/** OpenAI responses: the usage is in the response object, which the last event of a stream carries. */
export function openAIResponses(reading: Reading): UsageReader {
  function readResponse(response: JsonObject): void {
    reading.named(response.model);
    if (hasError(response) || response.status === 'failed') reading.error = true;
    const usage = objectAt(response, 'usage');
    if (usage !== undefined) readInputOutputUsage(reading, usage);
  }

  return {
    readBody(body) {
      for (const item of objectsIn(body.output)) sawItem(reading, item);
      readResponse(body);
      // A response in the background is not done yet; its usage comes with a later look at it.
      if (body.status === 'queued' || body.status === 'in_progress') reading.complete = false;
    },
    readEvent(event, name) {
      const type = typeof event.type === 'string' ? event.type : name;
      if (type === 'error' || hasError(event)) reading.error = true;
      // Deltas of audio are media in base64, not text.
      if (type.endsWith('.delta') && !type.endsWith('audio.delta')) reading.saw(event.delta);
      const response = objectAt(event, 'response');
      if (response !== undefined) readResponse(response);
      if (terminalTypes.has(type)) reading.complete = true;
    },
  };
}

/** Usage with `input_tokens` and `output_tokens`, as newer OpenAI endpoints tell it. Cached tokens are inside. */
export function readInputOutputUsage(reading: Reading, usage: JsonObject): void {
  const input = toldCount(usage.input_tokens);
  const output = toldCount(usage.output_tokens);
  if (input === undefined && output === undefined) return;
  const details = objectAt(usage, 'input_tokens_details');
  reading.told({
    inputTokens: input ?? 0,
    outputTokens: output,
    cacheReadTokens: toldCount(details?.cached_tokens),
    cacheWriteTokens: toldCount(details?.cache_write_tokens),
  });
}

function sawItem(reading: Reading, item: JsonObject): void {
  reading.saw(item.arguments ?? item.input ?? item.code);
  for (const part of [...objectsIn(item.content), ...objectsIn(item.summary)]) reading.saw(part.text ?? part.refusal);
}
