import { objectAt } from '../../usage/formats/json.ts';
import { type EchoAnswer, eventStream, frame, jsonAnswer } from './answer.ts';
import type { EchoUsage } from './behaviour.ts';
import { answerCount, createdAt, type EchoCall, lastUserText, type Reply, replyTo, toldUsage } from './call.ts';
import { providerErrorBody } from './provider-error.ts';
import { countTokens, textOf } from './tokens.ts';

/** OpenAI chat completions: the last message of the user, `n` times. */
export function answerChat(call: EchoCall): EchoAnswer {
  const { messages, n, max_completion_tokens, max_tokens } = call.body;
  const reply = replyTo(call, lastUserText(messages), max_completion_tokens ?? max_tokens);
  const replies = Array.from({ length: answerCount(n) }, () => reply);
  return answerCompletion(call, messages, replies, {
    object: 'chat.completion',
    chunk: 'chat.completion.chunk',
    id: `chatcmpl-${call.id}`,
    whole: ({ text }) => ({ message: { role: 'assistant', content: text, refusal: null } }),
    opening: () => ({ delta: { role: 'assistant', content: '' } }),
    part: (content) => ({ delta: { content } }),
    closing: () => ({ delta: {} }),
  });
}

/** OpenAI's legacy completions: each prompt, `n` times. */
export function answerCompletions(call: EchoCall): EchoAnswer {
  const { prompt, n, max_tokens } = call.body;
  const prompts = Array.isArray(prompt) ? prompt.map(textOf) : [textOf(prompt)];
  const replies = prompts.flatMap((text) => {
    const reply = replyTo(call, text, max_tokens);
    return Array.from({ length: answerCount(n) }, () => reply);
  });
  return answerCompletion(call, prompt, replies, {
    object: 'text_completion',
    chunk: 'text_completion',
    id: `cmpl-${call.id}`,
    whole: ({ text }) => ({ text }),
    opening: undefined,
    part: (text) => ({ text }),
    closing: () => ({ text: '' }),
  });
}

/** What differs between the two kinds of completions. */
interface CompletionShape {
  readonly object: string;
  readonly chunk: string;
  readonly id: string;
  readonly whole: (reply: Reply) => object;
  readonly opening: (() => object) | undefined;
  readonly part: (text: string) => object;
  readonly closing: () => object;
}

function answerCompletion(
  call: EchoCall,
  input: unknown,
  replies: readonly Reply[],
  shape: CompletionShape,
): EchoAnswer {
  const outputTokens = replies.reduce((sum, { tokens }) => sum + tokens.length, 0);
  const usage = toldUsage(call, { inputTokens: countTokens(input), outputTokens });
  const head = { id: shape.id, created: createdAt, model: call.model };
  if (call.body.stream !== true) {
    return jsonAnswer({
      ...head,
      object: shape.object,
      choices: replies.map((reply, index) => choice(index, shape.whole(reply), finishReason(reply))),
      ...(usage && { usage: openAIUsage(usage) }),
    });
  }
  const isUsageAsked = objectAt(call.body, 'stream_options')?.include_usage === true;
  const chunk = (choices: readonly object[], told: object | null) =>
    frame({ ...head, object: shape.chunk, choices, ...(isUsageAsked && { usage: told }) });
  const frames = replies.flatMap((reply, index) => [
    ...(shape.opening ? [chunk([choice(index, shape.opening(), null)], null)] : []),
    ...reply.tokens.map((token) => chunk([choice(index, shape.part(token), null)], null)),
    chunk([choice(index, shape.closing(), finishReason(reply))], null),
  ]);
  if (isUsageAsked && usage !== undefined) frames.push(chunk([], openAIUsage(usage)));
  return eventStream(
    [...frames, frame('[DONE]')],
    frame(providerErrorBody('openai', { status: 500, message: 'The stream has failed' })),
  );
}

function choice(index: number, content: object, finish_reason: string | null): object {
  return { index, ...content, logprobs: null, finish_reason };
}

function finishReason({ isCut }: Reply): string {
  return isCut ? 'length' : 'stop';
}

function openAIUsage({ inputTokens, outputTokens }: EchoUsage): object {
  return { prompt_tokens: inputTokens, completion_tokens: outputTokens, total_tokens: inputTokens + outputTokens };
}
