import type { SkimFrame } from '../sse.ts';
import { anthropicMessages } from './anthropic.ts';
import { free } from './free.ts';
import { geminiEmbed, geminiGenerate } from './gemini.ts';
import type { JsonObject } from './json.ts';
import { openAIChat } from './openai-chat.ts';
import { openAIEmbeddings } from './openai-embeddings.ts';
import { openAIAudio, openAIImages } from './openai-media.ts';
import { openAIResponses } from './openai-responses.ts';
import type { Reading } from './reading.ts';

/** Reads one response of one format into a {@link Reading}. Anything it doesn't know, it leaves alone; it never throws. */
export interface UsageReader {
  /** Takes the whole body. */
  readBody(body: JsonObject): void;
  /** Takes one event of a stream, in their order. `name` is empty where the provider gives events no name. */
  readEvent(event: JsonObject, name: string): void;
  /** Takes frames of a stream without parsing them, where their format makes that safe. */
  readonly skimFrame?: SkimFrame;
}

/** How a response tells its usage: one for each family of routes that is metered. */
export type MeterFormat =
  /** Legacy completions as well. */
  | 'openai-chat'
  | 'openai-responses'
  | 'openai-embeddings'
  | 'openai-images'
  /** Transcriptions and translations. Speech has no usage: `none`. */
  | 'openai-audio'
  | 'openai-moderations'
  | 'anthropic-messages'
  | 'anthropic-count'
  | 'gemini-generate'
  | 'gemini-embed'
  | 'gemini-count'
  /** Has no usage to read. */
  | 'none';

const readers: { readonly [format in MeterFormat]: ((reading: Reading) => UsageReader) | null } = {
  'openai-chat': openAIChat,
  'openai-responses': openAIResponses,
  'openai-embeddings': openAIEmbeddings,
  'openai-images': openAIImages,
  'openai-audio': openAIAudio,
  'openai-moderations': free,
  'anthropic-messages': anthropicMessages,
  'anthropic-count': free,
  'gemini-generate': geminiGenerate,
  'gemini-embed': geminiEmbed,
  'gemini-count': free,
  none: null,
};

/** A reader for one response, or `null` for the format that has no usage. */
export function usageReader(format: MeterFormat, reading: Reading): UsageReader | null {
  return readers[format]?.(reading) ?? null;
}
