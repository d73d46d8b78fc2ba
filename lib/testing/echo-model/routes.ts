import type { IncomingHttpHeaders } from 'node:http';
import type { EchoAnswer } from './answer.ts';
import { answerCountTokens, answerMessages } from './anthropic.ts';
import type { EchoCall } from './call.ts';
import {
  answerBatchEmbedContents,
  answerEmbedContent,
  answerGeminiCountTokens,
  answerGenerate,
  answerStreamGenerate,
} from './gemini.ts';
import { answerChat, answerCompletions } from './openai-chat.ts';
import { answerEmbeddings, answerImages, answerModerations, answerTranscription } from './openai-others.ts';
import { answerResponses } from './openai-responses.ts';
import type { ProviderDialect } from './provider-error.ts';

/** An endpoint that asks a model. It is found by the end of its path, wherever the echo model is mounted. */
interface ModelRoute {
  readonly path: RegExp;
  readonly answer: (call: EchoCall) => EchoAnswer;
}

/** What a request is for. */
export type EchoRoute =
  | { readonly kind: 'call'; readonly answer: ModelRoute['answer']; readonly model: string | undefined }
  | { readonly kind: 'models' }
  | { readonly kind: 'model'; readonly model: string }
  | { readonly kind: 'unknown' };

const modelRoutes: readonly ModelRoute[] = [
  { path: /\/chat\/completions$/, answer: answerChat },
  { path: /\/completions$/, answer: answerCompletions },
  { path: /\/responses$/, answer: answerResponses },
  { path: /\/embeddings$/, answer: answerEmbeddings },
  { path: /\/moderations$/, answer: answerModerations },
  { path: /\/images\/(generations|edits|variations)$/, answer: answerImages },
  { path: /\/audio\/(transcriptions|translations)$/, answer: answerTranscription },
  { path: /\/messages$/, answer: answerMessages },
  { path: /\/messages\/count_tokens$/, answer: answerCountTokens },
  { path: /\/models\/(?<model>[^/]+):generateContent$/, answer: answerGenerate },
  { path: /\/models\/(?<model>[^/]+):streamGenerateContent$/, answer: answerStreamGenerate },
  { path: /\/models\/(?<model>[^/]+):embedContent$/, answer: answerEmbedContent },
  { path: /\/models\/(?<model>[^/]+):batchEmbedContents$/, answer: answerBatchEmbedContents },
  { path: /\/models\/(?<model>[^/]+):countTokens$/, answer: answerGeminiCountTokens },
];

/** Azure names the model in the path, before the endpoint. */
const deployment = /\/deployments\/(?<model>[^/]+)\//;

export function routeOf(method: string | undefined, path: string): EchoRoute {
  if (method === 'GET' || method === 'HEAD') {
    const model = /\/models\/([^/:]+)$/.exec(path)?.[1];
    if (model !== undefined) return { kind: 'model', model: decoded(model) };
    return { kind: /\/models$/.test(path) ? 'models' : 'unknown' };
  }
  if (method !== 'POST') return { kind: 'unknown' };
  for (const { path: pattern, answer } of modelRoutes) {
    const match = pattern.exec(path);
    if (match === null) continue;
    const model = match.groups?.model ?? deployment.exec(path)?.groups?.model;
    return { kind: 'call', answer, model: model && decoded(model) };
  }
  return { kind: 'unknown' };
}

/** Whose clients ask, by the path and, where several have the same, by what only theirs send. */
export function dialectOfPath(path: string, headers: IncomingHttpHeaders): ProviderDialect {
  if (/\/v1beta\/|\/models\/[^/]+:\w+$/.test(path)) return 'gemini';
  const isShared = /\/models(\/[^/]+)?$/.test(path);
  if (/\/messages(\/|$)/.test(path) || (isShared && headers['anthropic-version'] !== undefined)) return 'anthropic';
  return isShared && headers['x-goog-api-key'] !== undefined ? 'gemini' : 'openai';
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
