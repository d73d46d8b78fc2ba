import type { RequestHandler, Response } from 'express';
import { eventually } from './eventually.ts';

/** Answers as OpenAI's chat does, having used 10 tokens of input and 5 of output. */
export const answerChat: RequestHandler = (req, res) => {
  res.json(chatAnswer(req.body?.model));
};

export function chatAnswer(model: unknown, usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }) {
  const message = { role: 'assistant', content: 'Hello', refusal: null };
  return {
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1,
    model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: 'stop' }],
    usage,
  };
}

/** A handler whose requests wait until a test answers them. */
export interface WaitingHandler {
  readonly handler: RequestHandler;
  /** The responses that wait, once there are so many. */
  waiting(count: number): Promise<readonly Response[]>;
  /** Answers all that wait, and all that come later. */
  release(): void;
}

export function waitingHandler(answer: RequestHandler = answerChat): WaitingHandler {
  const open: { readonly res: Response; readonly answer: () => unknown }[] = [];
  let isReleased = false;
  return {
    handler(req, res, next) {
      if (isReleased) answer(req, res, next);
      else open.push({ res, answer: () => answer(req, res, next) });
    },
    async waiting(count) {
      await eventually(() => open.length >= count, `Request ${count}`);
      return open.map(({ res }) => res);
    },
    release() {
      isReleased = true;
      for (const { answer: answerOne } of open.splice(0)) answerOne();
    },
  };
}
