import { objectAt, objectsIn } from '../../usage/formats/json.ts';
import { type EchoAnswer, eventStream, frame, jsonAnswer } from './answer.ts';
import { answerCount, type EchoCall, lastUserText, type Reply, replyTo, toldUsage } from './call.ts';
import { embed } from './embedding.ts';
import { providerErrorBody } from './provider-error.ts';
import { countTokens, textOf } from './tokens.ts';

/** Gemini generation: the last content of the user, for every candidate. */
export function answerGenerate(call: EchoCall): EchoAnswer {
  const { reply, count, response } = generate(call);
  return jsonAnswer(response(reply.text, reply.tokens.length * count, finishReason(reply)));
}

/** The same as a stream: of events with `?alt=sse`, else of the elements of one JSON array. */
export function answerStreamGenerate(call: EchoCall): EchoAnswer {
  const { reply, count, response } = generate(call);
  const texts = reply.tokens.length === 0 ? [''] : reply.tokens;
  const chunks = texts.map((text, index) =>
    response(
      text,
      Math.min(index + 1, reply.tokens.length) * count,
      index === texts.length - 1 ? finishReason(reply) : undefined,
    ),
  );
  const failure = providerErrorBody('gemini', { status: 500, message: 'The stream has failed' });
  if (call.query.get('alt') === 'sse') {
    return eventStream(
      chunks.map((chunk) => frame(chunk)),
      frame(failure),
    );
  }
  return {
    status: 200,
    contentType: 'application/json; charset=UTF-8',
    frames: [...chunks.map((chunk, index) => `${index === 0 ? '[' : ',\r\n'}${JSON.stringify(chunk)}`), ']'],
    errorFrame: `,\r\n${JSON.stringify(failure)}]`,
  };
}

export function answerGeminiCountTokens({ body }: EchoCall): EchoAnswer {
  return jsonAnswer({ totalTokens: countInput(body.generateContentRequest ?? body) });
}

export function answerEmbedContent({ body }: EchoCall): EchoAnswer {
  return jsonAnswer({ embedding: embedding(body) });
}

export function answerBatchEmbedContents({ body }: EchoCall): EchoAnswer {
  return jsonAnswer({ embeddings: objectsIn(body.requests).map(embedding) });
}

function generate(call: EchoCall) {
  const { systemInstruction, contents } = call.body;
  const config = objectAt(call.body, 'generationConfig');
  const count = answerCount(config?.candidateCount);
  const inputTokens = countTokens([systemInstruction, contents]);

  function response(text: string, outputTokens: number, finishReason: string | undefined): object {
    const usage = toldUsage(call, { inputTokens, outputTokens });
    const candidate = { content: { parts: [{ text }], role: 'model' }, ...(finishReason && { finishReason }) };
    return {
      candidates: Array.from({ length: count }, (_, index) => ({ ...candidate, index })),
      ...(usage && {
        usageMetadata: {
          promptTokenCount: usage.inputTokens,
          candidatesTokenCount: usage.outputTokens,
          totalTokenCount: usage.inputTokens + usage.outputTokens,
        },
      }),
      modelVersion: call.model,
      responseId: call.id,
    };
  }

  return { reply: replyTo(call, lastUserText(contents), config?.maxOutputTokens), count, response };
}

function finishReason({ isCut }: Reply): string {
  return isCut ? 'MAX_TOKENS' : 'STOP';
}

function countInput(body: unknown): number {
  const { systemInstruction, contents } = objectAt(body) ?? {};
  return countTokens([systemInstruction, contents]);
}

function embedding(request: { readonly [field: string]: unknown }): object {
  return { values: embed(textOf(request.content), request.outputDimensionality) };
}
