import type { Request, Response } from 'express';
import { usableModels } from '../keys/model-access.ts';
import type { Principal } from '../keys/principals.ts';
import { dialectOf } from './dialect.ts';
import type { LlmRequest } from './llm-request.ts';
import type { DescribedRoute } from './route.ts';

/** Whether the request asks which models there are. */
export function asksForModels({ route }: DescribedRoute): boolean {
  return route.endpoint === '/v1/models' || route.endpoint === '/v1beta/models';
}

/**
 * Answers which models a key may use: those that its lists name, and of the price book those that they match. No
 * upstream is asked, since it would tell all of its own.
 */
export function answerModelList(req: Request, res: Response, llm: LlmRequest, principal: Principal): void {
  const names = usableModels(principal, llm.service.options.prices?.names ?? []);
  res.json(lists[dialectOf(llm.route?.route, req.headers)](names));
}

const lists = {
  openai: (names: readonly string[]) => ({
    object: 'list',
    data: names.map((id) => ({ id, object: 'model', created: 0, owned_by: 'llm' })),
  }),
  anthropic: (names: readonly string[]) => ({
    data: names.map((id) => ({ type: 'model', id, display_name: id, created_at: '1970-01-01T00:00:00Z' })),
    has_more: false,
    first_id: names[0] ?? null,
    last_id: names.at(-1) ?? null,
  }),
  gemini: (names: readonly string[]) => ({ models: names.map((name) => ({ name: `models/${name}` })) }),
};
