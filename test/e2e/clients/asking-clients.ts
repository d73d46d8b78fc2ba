import { createOpenAI } from '@ai-sdk/openai';
import Anthropic from '@anthropic-ai/sdk';
import { ApiError, GoogleGenAI } from '@google/genai';
import { ChatOpenAI } from '@langchain/openai';
import { APICallError, generateText, RetryError } from 'ai';
import Anthropic0 from 'anthropic-sdk-0';
import OpenAI from 'openai';

export interface Asked {
  readonly url: string;
  readonly secret: string;
  readonly model: string;
  readonly fetch: typeof fetch;
}

/** What a client makes of a refusal. */
export interface Told {
  readonly name: string;
  readonly status: number | undefined;
  readonly code: string | null | undefined;
}

/** A client as an app makes it: with its own number of retries. */
export interface AskingClient {
  /** The package whose version is told. */
  readonly name: string;
  /** Asks for at most 100 tokens. */
  ask(asked: Asked): Promise<unknown>;
  told(error: unknown): Told;
}

const content = 'Hi';
const max_tokens = 100;
const messages = [{ role: 'user' as const, content }];

export const askingClients: readonly AskingClient[] = [
  {
    name: 'openai',
    ask: ({ url, secret, model, fetch }) =>
      new OpenAI({ baseURL: `${url}/v1`, apiKey: secret, fetch }).chat.completions.create({
        model,
        messages,
        max_tokens,
      }),
    told: toldByOpenAI,
  },
  {
    name: '@anthropic-ai/sdk',
    ask: ({ url, secret, model, fetch }) =>
      new Anthropic({ baseURL: url, apiKey: secret, fetch }).messages.create({ model, messages, max_tokens }),
    told: toldByAnthropic,
  },
  {
    name: 'anthropic-sdk-0',
    ask: ({ url, secret, model, fetch }) =>
      new Anthropic0({ baseURL: url, apiKey: secret, fetch }).messages.create({ model, messages, max_tokens }),
    told: toldByAnthropic,
  },
  {
    name: '@google/genai',
    ask: ({ url, secret, model, fetch }) =>
      new GoogleGenAI({ apiKey: secret, httpOptions: { baseUrl: url, fetch } }).models.generateContent({
        model,
        contents: content,
        config: { maxOutputTokens: max_tokens },
      }),
    told(error) {
      if (!(error instanceof ApiError)) return unexpected(error);
      const { details } = JSON.parse(error.message).error;
      return { name: error.name, status: error.status, code: details[0].reason };
    },
  },
  {
    name: '@langchain/openai',
    ask: ({ url, secret, model, fetch }) =>
      new ChatOpenAI({
        apiKey: secret,
        model,
        maxTokens: max_tokens,
        configuration: { baseURL: `${url}/v1`, fetch },
      }).invoke(content),
    told: toldByLangChain,
  },
  {
    name: 'ai',
    ask: ({ url, secret, model, fetch }) =>
      generateText({
        model: createOpenAI({ baseURL: `${url}/v1`, apiKey: secret, fetch }).chat(model),
        prompt: content,
        maxOutputTokens: max_tokens,
      }),
    told(error) {
      const last = RetryError.isInstance(error) ? error.lastError : error;
      if (!APICallError.isInstance(last)) return unexpected(error);
      const { code } = JSON.parse(last.responseBody ?? '{}').error;
      const name = last === error ? 'APICallError' : 'RetryError of APICallError';
      return { name, status: last.statusCode, code };
    },
  },
];

function toldByOpenAI(error: unknown): Told {
  if (!(error instanceof OpenAI.APIError)) return unexpected(error);
  return { name: classOf(error), status: error.status, code: error.code };
}

/** Its own class has no status; the errors of OpenAI's client go through as they are. */
function toldByLangChain(error: unknown): Told {
  if (error instanceof Error && error.name === 'InsufficientQuotaError') {
    return { name: error.name, status: undefined, code: (error as { lc_error_code?: string }).lc_error_code };
  }
  return toldByOpenAI(error);
}

function toldByAnthropic(error: unknown): Told {
  if (!(error instanceof Anthropic.APIError || error instanceof Anthropic0.APIError)) return unexpected(error);
  const { details } = (error.error as { error: { details: { error_code: string } } }).error;
  return { name: classOf(error), status: error.status, code: details.error_code };
}

function classOf(error: Error): string {
  return error.constructor.name;
}

function unexpected(error: unknown): never {
  throw new TypeError('The client has told something else than the refusal', { cause: error });
}
