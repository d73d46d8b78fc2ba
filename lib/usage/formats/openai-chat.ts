import type { UsageReader } from './format.ts';
import { hasError, isObject, type JsonObject, objectAt, objectsIn, toldCount } from './json.ts';
import type { Reading } from './reading.ts';

/**
 * OpenAI chat completions and legacy completions, and the servers that speak like them. Usage may come in any chunk:
 * in one of its own at the end (OpenAI), with the last choice (llama.cpp), running in every chunk (vLLM, Gemini), or
 * before chunks that say null again (xAI).
 */
export function openAIChat(reading: Reading): UsageReader {
  function read(chunk: JsonObject): void {
    reading.named(chunk.model);
    if (hasError(chunk)) reading.error = true;
    for (const choice of objectsIn(chunk.choices)) {
      reading.saw(choice.text);
      sawMessage(reading, objectAt(choice, 'delta') ?? objectAt(choice, 'message'));
    }
    if (isObject(chunk.usage)) readUsage(reading, chunk.usage);
  }
  return {
    readBody: read,
    readEvent: read,
    skimFrame(text, frameStart) {
      if (reading.model === null || !text.startsWith('data: {', frameStart)) return frameStart;
      const choice = text.indexOf('{', frameStart + 'data: {'.length);
      if (!text.startsWith(deltaOfOnlyChoice, choice - choicesKey.length)) return frameStart;
      const contentStart = choice - choicesKey.length + deltaOfOnlyChoice.length;
      const contentEnd = text.indexOf('"', contentStart);
      const content = text.slice(contentStart, contentEnd);
      const lineEnd = text.indexOf('\n', contentStart);
      const isPlain = text[contentEnd + 1] === '}' && !content.includes('\\') && contentEnd < lineEnd;
      const isOneLine = text.startsWith('}\n\n', lineEnd - 1);
      const nextObject = text.indexOf('{', contentEnd);
      if (!isPlain || !isOneLine || (nextObject >= 0 && nextObject < lineEnd)) return frameStart;
      reading.sawBytes(content.length);
      return lineEnd + 2;
    },
  };
}

// Long answers are thousands of chunks that add text without escapes to the one choice there is, and hold no other
// object, such as usage or an error. Finding that out takes a fifth of the time of parsing them.
const choicesKey = '"choices":[';
const deltaOfOnlyChoice = `${choicesKey}{"index":0,"delta":{"content":"`;

/**
 * Whether a chunk is there only because usage was asked for on the client's behalf. Other chunks without choices are
 * not: moderation results, Azure's prompt filter, errors.
 */
export function isUsageOnlyChunk(chunk: JsonObject): boolean {
  return (
    isObject(chunk.usage) &&
    Array.isArray(chunk.choices) &&
    chunk.choices.length === 0 &&
    (chunk.moderation ?? null) === null &&
    !hasError(chunk)
  );
}

function sawMessage(reading: Reading, message: JsonObject | undefined): void {
  if (message === undefined) return;
  sawContent(reading, message.content);
  // The same text under two names: vLLM and OpenRouter send `reasoning`, DeepSeek `reasoning_content`, some both.
  reading.saw(message.reasoning_content ?? message.reasoning);
  reading.saw(message.refusal);
  sawCall(reading, objectAt(message, 'function_call'));
  for (const call of objectsIn(message.tool_calls)) {
    sawCall(reading, objectAt(call, 'function'));
    reading.saw(objectAt(call, 'custom')?.input);
  }
  reading.saw(objectAt(message, 'audio')?.transcript);
}

function sawContent(reading: Reading, content: unknown): void {
  if (typeof content === 'string') reading.saw(content);
  else for (const part of objectsIn(content)) reading.saw(part.text ?? part.thinking);
}

function sawCall(reading: Reading, call: JsonObject | undefined): void {
  reading.saw(call?.name);
  reading.saw(call?.arguments);
}

function readUsage(reading: Reading, usage: JsonObject): void {
  const input = toldCount(usage.prompt_tokens);
  const output = toldCount(usage.completion_tokens);
  if (input === undefined && output === undefined) return;
  const details = objectAt(usage, 'prompt_tokens_details');
  reading.told({
    inputTokens: input ?? 0,
    outputTokens: output === undefined ? undefined : output + reasoningBesides(usage, input ?? 0, output),
    cacheReadTokens: toldCount(details?.cached_tokens) ?? toldCount(usage.prompt_cache_hit_tokens),
    cacheWriteTokens: toldCount(details?.cache_write_tokens),
  });
}

/** Reasoning is inside `completion_tokens`, except where the total shows that it was left out (xAI). */
function reasoningBesides(usage: JsonObject, input: number, output: number): number {
  const reasoning = toldCount(objectAt(usage, 'completion_tokens_details')?.reasoning_tokens) ?? 0;
  return toldCount(usage.total_tokens) === input + output + reasoning ? reasoning : 0;
}
