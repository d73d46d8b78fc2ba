import { createHash } from 'node:crypto';
import { type EchoAnswer, jsonAnswer } from './answer.ts';
import type { EchoBehaviour } from './behaviour.ts';
import { answerModel, answerModels } from './models.ts';
import { providerErrorBody } from './provider-error.ts';
import { type EchoRequest, fieldsOf, targetOf } from './request.ts';
import { dialectOfPath, routeOf } from './routes.ts';

export interface ModelSettings {
  readonly models: readonly string[];
  readonly maxOutputTokens: number;
}

/** The answer to a request, by its route and by the behaviour that it meets. */
export function answerRequest(request: EchoRequest, behaviour: EchoBehaviour, settings: ModelSettings): EchoAnswer {
  if (behaviour.status !== undefined) return refuse(request, behaviour.status, 'The echo model was asked to fail');
  const { pathname: path, searchParams: query } = targetOf(request);
  const route = routeOf(request.method, path);
  switch (route.kind) {
    case 'unknown':
      return refuse(request, 404, `There is no ${request.method} ${path}`, 'unknown_url');
    case 'models':
      return answerModels(dialectOfPath(path, request.headers), settings.models);
    case 'model':
      return answerModel(dialectOfPath(path, request.headers), route.model);
    case 'call': {
      const body = fieldsOf(request.body);
      const model = body.model ?? route.model ?? modelOfText(request.body);
      if (typeof model !== 'string') return refuse(request, 400, 'The body must be JSON that names a model');
      const { maxOutputTokens } = settings;
      return route.answer({ id: idOf(path, request.body), model, body, query, behaviour, maxOutputTokens });
    }
  }
}

/** An error in the dialect of the route. */
export function refuse(request: EchoRequest, status: number, message: string, code?: string): EchoAnswer {
  const dialect = dialectOfPath(targetOf(request).pathname, request.headers);
  return jsonAnswer(providerErrorBody(dialect, { status, message, code }), status);
}

/** Forms with files are not parsed, and may name any model. */
function modelOfText(body: unknown): string | undefined {
  return typeof body === 'string' && body.includes('form-data') ? 'echo' : undefined;
}

function idOf(path: string, body: unknown): string {
  return createHash('sha256')
    .update(`${path}\n${JSON.stringify(body)}`)
    .digest('hex')
    .slice(0, 24);
}
