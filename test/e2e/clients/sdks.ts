import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import { generateText, type LanguageModel, streamText } from 'ai';
import OpenAI from 'openai';
import { collect } from '../../support/collect.ts';

/** What an app calls models with: each answers with the text of the model. */
export interface SdkCalls {
  plain(prompt: string): Promise<string>;
  /** `undefined`: the endpoint does not stream. */
  readonly streamed: ((prompt: string) => Promise<string>) | undefined;
}

export interface Sdk {
  readonly title: string;
  readonly model: string;
  /** An upstream and the `fetch` by which it is called. */
  create(url: string, fetchMetered: typeof fetch): SdkCalls;
}

const apiKey = 'upstream-key';
const user = (content: string) => [{ role: 'user' as const, content }];

export const sdks: readonly Sdk[] = [
  {
    title: 'openai, chat',
    model: 'gpt-4o',
    create(url, fetchMetered) {
      const { completions } = new OpenAI({ baseURL: `${url}/v1`, apiKey, fetch: fetchMetered }).chat;
      return {
        async plain(prompt) {
          const { choices } = await completions.create({ model: 'gpt-4o', messages: user(prompt) });
          return choices[0]?.message.content ?? '';
        },
        async streamed(prompt) {
          const chunks = await collect(
            await completions.create({ model: 'gpt-4o', messages: user(prompt), stream: true }),
          );
          // The chunk with the usage has no choices, and nobody here has asked for it.
          return chunks
            .map(({ choices: [choice] }) => (choice === undefined ? '<usage>' : choice.delta.content))
            .join('');
        },
      };
    },
  },
  {
    title: 'openai, responses',
    model: 'gpt-4o',
    create(url, fetchMetered) {
      const { responses } = new OpenAI({ baseURL: `${url}/v1`, apiKey, fetch: fetchMetered });
      return {
        plain: async (input) => (await responses.create({ model: 'gpt-4o', input })).output_text,
        streamed: async (input) => (await responses.stream({ model: 'gpt-4o', input }).finalResponse()).output_text,
      };
    },
  },
  {
    title: 'openai, embeddings',
    model: 'text-embedding-3-small',
    create(url, fetchMetered) {
      const { embeddings } = new OpenAI({ baseURL: `${url}/v1`, apiKey, fetch: fetchMetered });
      return {
        async plain(input) {
          const { data } = await embeddings.create({ model: 'text-embedding-3-small', input });
          return data.length === 1 ? input : '';
        },
        streamed: undefined,
      };
    },
  },
  {
    title: '@anthropic-ai/sdk',
    model: 'claude-sonnet-4',
    create(url, fetchMetered) {
      const { messages } = new Anthropic({ baseURL: url, apiKey, fetch: fetchMetered });
      const request = (prompt: string) => ({ model: 'claude-sonnet-4', max_tokens: 50, messages: user(prompt) });
      const textOf = ({ content }: Anthropic.Message) =>
        content.map((part) => ('text' in part ? part.text : '')).join('');
      return {
        plain: async (prompt) => textOf(await messages.create(request(prompt))),
        streamed: async (prompt) => textOf(await messages.stream(request(prompt)).finalMessage()),
      };
    },
  },
  {
    title: '@google/genai',
    model: 'gemini-2.5-flash',
    create(baseUrl, fetchMetered) {
      const { models } = new GoogleGenAI({ apiKey, httpOptions: { baseUrl, fetch: fetchMetered } });
      const request = (contents: string) => ({ model: 'gemini-2.5-flash', contents });
      return {
        plain: async (prompt) => (await models.generateContent(request(prompt))).text ?? '',
        async streamed(prompt) {
          const chunks = await collect(await models.generateContentStream(request(prompt)));
          return chunks.map(({ text }) => text).join('');
        },
      };
    },
  },
  {
    title: 'ai with @ai-sdk/openai, responses',
    model: 'gpt-4o',
    create: (url, fetchMetered) =>
      vercel(createOpenAI({ baseURL: `${url}/v1`, apiKey, fetch: fetchMetered })('gpt-4o')),
  },
  {
    title: 'ai with @ai-sdk/openai, chat',
    model: 'gpt-4o',
    create: (url, fetchMetered) =>
      vercel(createOpenAI({ baseURL: `${url}/v1`, apiKey, fetch: fetchMetered }).chat('gpt-4o')),
  },
  {
    title: 'ai with @ai-sdk/anthropic',
    model: 'claude-sonnet-4',
    create: (url, fetchMetered) =>
      vercel(createAnthropic({ baseURL: `${url}/v1`, apiKey, fetch: fetchMetered })('claude-sonnet-4')),
  },
];

function vercel(model: LanguageModel): SdkCalls {
  return {
    plain: async (prompt) => (await generateText({ model, prompt, maxOutputTokens: 50 })).text,
    streamed: async (prompt) => (await collect(streamText({ model, prompt, maxOutputTokens: 50 }).textStream)).join(''),
  };
}
