import type { UsageReader } from './format.ts';
import { hasError, type JsonObject, objectAt, objectsIn, toldCount } from './json.ts';
import type { Reading } from './reading.ts';

/**
 * Gemini generation. Each chunk of a stream is a response of its own whose `usageMetadata` is cumulative. Thoughts are
 * not inside the candidates' tokens, nor is a tool's prompt inside the prompt's; cached content is.
 */
export function geminiGenerate(reading: Reading): UsageReader {
  function read(response: JsonObject): void {
    reading.named(response.modelVersion);
    if (hasError(response)) reading.error = true;
    for (const candidate of objectsIn(response.candidates)) {
      for (const part of objectsIn(objectAt(candidate, 'content')?.parts)) sawPart(reading, part);
      // There is no closing event: the chunk that gives a reason to finish is the last that is owed.
      if (typeof candidate.finishReason === 'string') reading.complete = true;
    }
    if (typeof objectAt(response, 'promptFeedback')?.blockReason === 'string') reading.complete = true;
    const usage = objectAt(response, 'usageMetadata');
    if (usage !== undefined) readUsage(reading, usage);
  }
  return { readBody: read, readEvent: read };
}

/** Gemini embeddings: token counts come only from the enterprise platform, one for each embedding. */
export function geminiEmbed(reading: Reading): UsageReader {
  function read(body: JsonObject): void {
    if (hasError(body)) reading.error = true;
    const counts = [objectAt(body, 'embedding'), ...objectsIn(body.embeddings)]
      .map((embedding) => toldCount(objectAt(embedding, 'statistics')?.tokenCount))
      .filter((count) => count !== undefined);
    if (counts.length > 0) reading.told({ inputTokens: counts.reduce((sum, count) => sum + count), outputTokens: 0 });
  }
  return { readBody: read, readEvent: read };
}

function readUsage(reading: Reading, usage: JsonObject): void {
  const input = toldCount(usage.promptTokenCount);
  const output = toldCount(usage.candidatesTokenCount) ?? toldCount(usage.responseTokenCount);
  const thoughts = toldCount(usage.thoughtsTokenCount);
  // Early chunks may carry nothing but the kind of traffic.
  if (input === undefined && output === undefined && thoughts === undefined) return;
  reading.told({
    inputTokens: (input ?? 0) + (toldCount(usage.toolUsePromptTokenCount) ?? 0),
    outputTokens: output === undefined && thoughts === undefined ? undefined : (output ?? 0) + (thoughts ?? 0),
    cacheReadTokens: toldCount(usage.cachedContentTokenCount),
  });
}

function sawPart(reading: Reading, part: JsonObject): void {
  reading.saw(part.text);
  const call = objectAt(part, 'functionCall');
  reading.saw(call?.name);
  reading.saw(call?.args);
  reading.saw(objectAt(part, 'executableCode')?.code);
}
