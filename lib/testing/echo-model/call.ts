import { isObject, type JsonObject } from '../../usage/formats/json.ts';
import type { EchoBehaviour, EchoUsage } from './behaviour.ts';
import { textOf, tokensOf } from './tokens.ts';

/** A request to the model, as every provider's part of it sees it. */
export interface EchoCall {
  /** The same for the same request, so that its answer has the same bytes. */
  readonly id: string;
  readonly model: string;
  readonly body: JsonObject;
  readonly query: URLSearchParams;
  readonly behaviour: EchoBehaviour;
  /** The longest answer that the model gives. */
  readonly maxOutputTokens: number;
}

/** What the model says. */
export interface Reply {
  readonly text: string;
  readonly tokens: readonly string[];
  /** The text was longer than the cap. */
  readonly isCut: boolean;
}

/** When every answer was made, in seconds: an answer tells of its request only. */
export const createdAt = 1_735_689_600;

/** Repeats a prompt, as far as the cap allows. What is no number above 0 is no cap. */
export function replyTo({ behaviour, maxOutputTokens }: EchoCall, prompt: string, cap: unknown): Reply {
  const all = tokensOf(behaviour.reply ?? prompt);
  const tokens = all.slice(0, Math.min(maxOutputTokens, typeof cap === 'number' && cap > 0 ? cap : maxOutputTokens));
  return { text: tokens.join(''), tokens, isCut: tokens.length < all.length };
}

/** The text of the last message that the user has written. */
export function lastUserText(messages: unknown): string {
  const list = Array.isArray(messages) ? messages : [messages];
  return textOf(list.findLast((message) => isObject(message) && message.role === 'user') ?? list.at(-1));
}

/** What the answer tells of its usage, the true one or another; `undefined`: nothing. */
export function toldUsage({ behaviour }: EchoCall, trueUsage: EchoUsage): EchoUsage | undefined {
  return behaviour.usage === 'none' ? undefined : (behaviour.usage ?? trueUsage);
}

/** How many alternatives are asked for: 1 to 128. */
export function answerCount(asked: unknown): number {
  return typeof asked === 'number' && asked >= 1 ? Math.min(128, Math.floor(asked)) : 1;
}
