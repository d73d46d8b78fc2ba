import { type EchoAnswer, eventStream, frame, jsonAnswer, typedFrame } from './answer.ts';
import { answerCount, createdAt, type EchoCall, replyTo, toldUsage } from './call.ts';
import { embed, encodeVector } from './embedding.ts';
import { providerErrorBody } from './provider-error.ts';
import { countTokens } from './tokens.ts';

/** OpenAI embeddings, as numbers or as base64, which current clients ask for. */
export function answerEmbeddings(call: EchoCall): EchoAnswer {
  const { input, dimensions, encoding_format } = call.body;
  const inputs = Array.isArray(input) && typeof input[0] !== 'number' ? input : [input];
  const usage = toldUsage(call, { inputTokens: countTokens(input), outputTokens: 0 });
  return jsonAnswer({
    object: 'list',
    data: inputs.map((text, index) => {
      const vector = embed(typeof text === 'string' ? text : JSON.stringify(text), dimensions);
      return { object: 'embedding', index, embedding: encoding_format === 'base64' ? encodeVector(vector) : vector };
    }),
    model: call.model,
    ...(usage && { usage: { prompt_tokens: usage.inputTokens, total_tokens: usage.inputTokens } }),
  });
}

/** OpenAI moderations: nothing is ever flagged. */
export function answerModerations(call: EchoCall): EchoAnswer {
  const inputs = Array.isArray(call.body.input) ? call.body.input : [call.body.input];
  const results = inputs.map(() => ({ flagged: false, categories: {}, category_scores: {} }));
  return jsonAnswer({ id: `modr-${call.id}`, model: call.model, results });
}

/** One transparent pixel. */
const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==';

/** OpenAI images: the same pixel for every prompt, one token each. */
export function answerImages(call: EchoCall): EchoAnswer {
  const { prompt, n, stream } = call.body;
  const count = answerCount(n);
  const usage = toldUsage(call, { inputTokens: countTokens(prompt), outputTokens: count });
  const told = usage && {
    usage: {
      input_tokens: usage.inputTokens,
      output_tokens: usage.outputTokens,
      total_tokens: usage.inputTokens + usage.outputTokens,
      input_tokens_details: { text_tokens: usage.inputTokens, image_tokens: 0 },
    },
  };
  if (stream !== true) {
    const images = Array.from({ length: count }, () => ({ b64_json: png }));
    return jsonAnswer({ created: createdAt, data: images, output_format: 'png', ...told });
  }
  const image = { b64_json: png, created_at: createdAt, output_format: 'png' };
  const events = [
    { type: 'image_generation.partial_image', ...image, partial_image_index: 0 },
    { type: 'image_generation.completed', ...image, ...told },
  ];
  return eventStream(
    events.map(typedFrame),
    frame(providerErrorBody('openai', { status: 500, message: 'The stream has failed' }), 'error'),
  );
}

/** OpenAI transcriptions and translations: recordings are not listened to, all of them say `echo`. */
export function answerTranscription(call: EchoCall): EchoAnswer {
  const reply = replyTo(call, 'echo', undefined);
  const usage = toldUsage(call, { inputTokens: countTokens(call.body.prompt), outputTokens: reply.tokens.length });
  return jsonAnswer({
    text: reply.text,
    ...(usage && {
      usage: {
        type: 'tokens',
        input_tokens: usage.inputTokens,
        output_tokens: usage.outputTokens,
        total_tokens: usage.inputTokens + usage.outputTokens,
      },
    }),
  });
}
