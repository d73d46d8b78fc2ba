import { type EchoAnswer, eventStream, jsonAnswer, type TypedEvent, typedFrame } from './answer.ts';
import { createdAt, type EchoCall, lastUserText, replyTo, toldUsage } from './call.ts';
import { countTokens } from './tokens.ts';

/** OpenAI responses: the last message of the user. */
export function answerResponses(call: EchoCall): EchoAnswer {
  const { input, instructions, max_output_tokens, stream } = call.body;
  const reply = replyTo(call, lastUserText(input), max_output_tokens);
  const usage = toldUsage(call, {
    inputTokens: countTokens([instructions, input]),
    outputTokens: reply.tokens.length,
  });
  const outcome = reply.isCut ? 'incomplete' : 'completed';
  const content = (text: string) => ({ type: 'output_text', text, annotations: [] });
  const message = (status: string, parts: readonly object[]) => ({
    id: `msg_${call.id}`,
    type: 'message',
    role: 'assistant',
    status,
    content: parts,
  });
  const response = (status: string, output: readonly object[]) => ({
    id: `resp_${call.id}`,
    object: 'response',
    created_at: createdAt,
    status,
    model: call.model,
    output,
    error: null,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    instructions: instructions ?? null,
    metadata: {},
    parallel_tool_calls: true,
    temperature: 1,
    tool_choice: 'auto',
    tools: [],
    top_p: 1,
  });
  const whole = {
    ...response(outcome, [message(outcome, [content(reply.text)])]),
    ...(usage && {
      usage: {
        input_tokens: usage.inputTokens,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens: usage.outputTokens,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: usage.inputTokens + usage.outputTokens,
      },
    }),
  };
  if (stream !== true) return jsonAnswer(whole);

  const part = { item_id: `msg_${call.id}`, output_index: 0, content_index: 0 };
  const events: readonly TypedEvent[] = [
    { type: 'response.created', response: response('in_progress', []) },
    { type: 'response.in_progress', response: response('in_progress', []) },
    { type: 'response.output_item.added', output_index: 0, item: message('in_progress', []) },
    { type: 'response.content_part.added', ...part, part: content('') },
    ...reply.tokens.map((delta) => ({ type: 'response.output_text.delta', ...part, delta, logprobs: [] })),
    { type: 'response.output_text.done', ...part, text: reply.text, logprobs: [] },
    { type: 'response.content_part.done', ...part, part: content(reply.text) },
    { type: 'response.output_item.done', output_index: 0, item: message(outcome, [content(reply.text)]) },
    { type: `response.${outcome}`, response: whole },
  ];
  const failure = { type: 'error', code: 'server_error', message: 'The stream has failed', param: null };
  return eventStream(
    events.map((event, sequence_number) => typedFrame({ ...event, sequence_number })),
    typedFrame({ ...failure, sequence_number: events.length }),
  );
}
