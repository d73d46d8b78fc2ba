import type { IncomingMessage, ServerResponse } from 'node:http';
import { refuseUnknownOptions } from '../../options.ts';
import { answerRequest, refuse } from './answer-request.ts';
import { behaviourHeader, behaviourOfHeader, checkBehaviour, type EchoBehaviour } from './behaviour.ts';
import { type EchoRequest, readBody, targetOf } from './request.ts';
import { sendAnswer } from './send.ts';

export interface EchoModelOptions {
  /** How requests are answered; a function chooses for each. The header `x-echo-behaviour` of a request wins over it. */
  behaviour?: EchoBehaviour | ((request: EchoRequest) => EchoBehaviour) | undefined;
  /** The names that lists of models show. Any other name is answered as well. @defaultValue ['echo'] */
  models?: readonly string[] | undefined;
  /** The longest answer, in tokens. @defaultValue 16,384 */
  maxOutputTokens?: number | undefined;
  /** How many of the last requests are kept in `requests`. @defaultValue 1,000 */
  keepRequests?: number | undefined;
}

/** A request listener for `http.createServer`, and a handler for Express. */
export interface EchoModel {
  (req: IncomingMessage, res: ServerResponse): void;
  /** The last requests, oldest first. */
  readonly requests: readonly EchoRequest[];
}

type OpenRequest = { -readonly [field in keyof EchoRequest]: EchoRequest[field] };

/**
 * A model for tests and for trying things out: it speaks like OpenAI (chat, completions, responses, embeddings, images,
 * transcriptions, moderations), Anthropic (messages, count_tokens) and Gemini (generate, stream, embed, count), whole or
 * as a stream, and says what the user said last. One word is one token, and the usage that it tells is true. The same
 * request is answered by the same bytes.
 *
 * @example
 * ```ts
 * const echo = createEchoModel({ behaviour: { chunkDelayMs: 50 } });
 * http.createServer(echo).listen(4000);
 * ```
 * A single request chooses its own behaviour: `x-echo-behaviour: {"fault":"abort"}`.
 *
 * @throws TypeError naming an option that is unknown or of no use
 */
export function createEchoModel(options: EchoModelOptions = {}): EchoModel {
  const where = 'createEchoModel';
  refuseUnknownOptions(where, options, ['behaviour', 'models', 'maxOutputTokens', 'keepRequests']);
  const { behaviour = {}, models = ['echo'], maxOutputTokens = 16_384, keepRequests = 1000 } = options;
  if (typeof behaviour !== 'function') checkBehaviour(where, behaviour);
  const requests: OpenRequest[] = [];

  function keep(request: OpenRequest): void {
    requests.push(request);
    if (requests.length > keepRequests) requests.shift();
  }

  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const request = openRequest(req);
    keep(request);
    res.once('close', () => {
      request.outcome = res.writableFinished ? 'answered' : 'broken_off';
    });
    request.body = await readBody(req);
    const asked = behaviourOfHeader(request.headers[behaviourHeader]);
    if ('problem' in asked) return sendAnswer(res, refuse(request, 400, asked.problem), {});
    const own = typeof behaviour === 'function' ? checkBehaviour(where, behaviour(request)) : behaviour;
    const behaved = { ...own, ...asked.behaviour };
    await sendAnswer(res, answerRequest(request, behaved, { models, maxOutputTokens }), behaved);
  }

  function echoModel(req: IncomingMessage, res: ServerResponse): void {
    answer(req, res).catch((error: unknown) => {
      res.destroy(error instanceof Error ? error : new Error(String(error)));
    });
  }

  return Object.assign(echoModel, { requests });
}

function openRequest(req: IncomingMessage): OpenRequest {
  const { pathname, search } = targetOf(req);
  return {
    method: req.method ?? 'GET',
    url: `${pathname}${search}`,
    headers: { ...req.headers },
    body: undefined,
    outcome: 'open',
  };
}
