import type { UsageReader } from './format.ts';
import { hasError, type JsonObject, objectAt } from './json.ts';
import { readInputOutputUsage } from './openai-responses.ts';
import type { Reading } from './reading.ts';

/** OpenAI images, generated or edited. Models that are priced by the image tell no usage. */
export function openAIImages(reading: Reading): UsageReader {
  return {
    readBody: (body) => readMedia(reading, body),
    readEvent(event) {
      readMedia(reading, event);
      if (event.type === 'image_generation.completed' || event.type === 'image_edit.completed') reading.complete = true;
    },
  };
}

/** OpenAI transcriptions. Usage told in seconds (`type: "duration"`) has no tokens, and is left unread. */
export function openAIAudio(reading: Reading): UsageReader {
  return {
    readBody(body) {
      reading.saw(body.text);
      readMedia(reading, body);
    },
    readEvent(event) {
      if (event.type === 'transcript.text.delta') reading.saw(event.delta);
      readMedia(reading, event);
      if (event.type === 'transcript.text.done') reading.complete = true;
    },
  };
}

function readMedia(reading: Reading, body: JsonObject): void {
  if (hasError(body) || body.type === 'error') reading.error = true;
  reading.named(body.model);
  const usage = objectAt(body, 'usage');
  if (usage !== undefined) readInputOutputUsage(reading, usage);
}
