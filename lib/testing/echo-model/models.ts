import { type EchoAnswer, jsonAnswer } from './answer.ts';
import { createdAt } from './call.ts';
import type { ProviderDialect } from './provider-error.ts';

/** The list of the models, as the provider's clients read it. */
export function answerModels(dialect: ProviderDialect, names: readonly string[]): EchoAnswer {
  const models = names.map((name) => describeModel(dialect, name));
  switch (dialect) {
    case 'openai':
      return jsonAnswer({ object: 'list', data: models });
    case 'anthropic':
      return jsonAnswer({ data: models, has_more: false, first_id: names[0] ?? null, last_id: names.at(-1) ?? null });
    case 'gemini':
      return jsonAnswer({ models });
  }
}

export function answerModel(dialect: ProviderDialect, name: string): EchoAnswer {
  return jsonAnswer(describeModel(dialect, name));
}

function describeModel(dialect: ProviderDialect, name: string): object {
  switch (dialect) {
    case 'openai':
      return { id: name, object: 'model', created: createdAt, owned_by: 'echo' };
    case 'anthropic':
      return { type: 'model', id: name, display_name: name, created_at: new Date(createdAt * 1000).toISOString() };
    case 'gemini':
      return { name: `models/${name}`, displayName: name };
  }
}
