import type { Dialect } from '../../lib/http/dialect.ts';

/** How the clients of one provider ask for a short answer. */
export interface DialectRequest {
  readonly dialect: Dialect;
  readonly path: (model: string) => string;
  readonly body: (model: string, outputCap: number) => object;
  /** The header for its key, and what else its clients send. */
  readonly headers: (secret: string | undefined) => Readonly<Record<string, string>>;
}

const messages = [{ role: 'user', content: 'Hi' }];

export const dialectRequests: readonly DialectRequest[] = [
  {
    dialect: 'openai',
    path: () => '/v1/chat/completions',
    body: (model, outputCap) => ({ model, messages, max_completion_tokens: outputCap }),
    headers: (secret) => (secret === undefined ? {} : { authorization: `Bearer ${secret}` }),
  },
  {
    dialect: 'anthropic',
    path: () => '/v1/messages',
    body: (model, outputCap) => ({ model, messages, max_tokens: outputCap }),
    headers: (secret) => ({
      'anthropic-version': '2023-06-01',
      ...(secret !== undefined && { 'x-api-key': secret }),
    }),
  },
  {
    dialect: 'gemini',
    path: (model) => `/v1beta/models/${model}:generateContent`,
    body: (_model, outputCap) => ({
      contents: [{ role: 'user', parts: [{ text: 'Hi' }] }],
      generationConfig: { maxOutputTokens: outputCap },
    }),
    headers: (secret) => (secret === undefined ? {} : { 'x-goog-api-key': secret }),
  },
];
