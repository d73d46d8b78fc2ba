import { type EchoAnswer, eventStream, frame, jsonAnswer, type TypedEvent, typedFrame } from './answer.ts';
import { type EchoCall, lastUserText, replyTo, toldUsage } from './call.ts';
import { providerErrorBody } from './provider-error.ts';
import { countTokens } from './tokens.ts';

/** Anthropic messages: the last message of the user. */
export function answerMessages(call: EchoCall): EchoAnswer {
  const { system, messages, max_tokens, stream } = call.body;
  const reply = replyTo(call, lastUserText(messages), max_tokens);
  const told = toldUsage(call, {
    inputTokens: countTokens([system, messages]),
    outputTokens: reply.tokens.length,
  });
  const usage = (output_tokens: number) =>
    told && {
      usage: {
        input_tokens: told.inputTokens,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
        output_tokens,
      },
    };
  const message = (content: readonly object[], stop_reason: string | null, outputTokens: number) => ({
    id: `msg_${call.id}`,
    type: 'message',
    role: 'assistant',
    model: call.model,
    content,
    stop_reason,
    stop_sequence: null,
    ...usage(outputTokens),
  });
  const stopReason = reply.isCut ? 'max_tokens' : 'end_turn';
  if (stream !== true) {
    return jsonAnswer(message([{ type: 'text', text: reply.text }], stopReason, told?.outputTokens ?? 0));
  }
  const events: readonly TypedEvent[] = [
    { type: 'message_start', message: message([], null, Math.min(1, told?.outputTokens ?? 0)) },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'ping' },
    ...reply.tokens.map((text) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })),
    { type: 'content_block_stop', index: 0 },
    {
      type: 'message_delta',
      delta: { stop_reason: stopReason, stop_sequence: null },
      ...(told && { usage: { output_tokens: told.outputTokens } }),
    },
    { type: 'message_stop' },
  ];
  return eventStream(
    events.map(typedFrame),
    frame(providerErrorBody('anthropic', { status: 500, message: 'The stream has failed' }), 'error'),
  );
}

export function answerCountTokens({ body }: EchoCall): EchoAnswer {
  return jsonAnswer({ input_tokens: countTokens([body.system, body.messages]) });
}
