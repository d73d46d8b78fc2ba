import Joi from 'joi';
import type { LiteLLMClient } from '../client/client.ts';
import type { LiteLLMModel } from '../client/replies.ts';

export interface ModelNames {
  /** Of the models that LiteLLM serves. */
  readonly served: readonly string[];
  /** Of its groups of models, which a key may name there as well. */
  readonly groups: readonly string[];
}

/** The names of the models that LiteLLM serves, asked for when they are needed and kept for a while. */
export interface ServedModels {
  names(): Promise<ModelNames>;
  /** They are asked for anew. */
  forget(): void;
}

const keptMs = 60_000;
const groupsSchema = Joi.array<string[]>().items(Joi.string());

export function createServedModels(client: LiteLLMClient): ServedModels {
  let kept: { readonly names: Promise<ModelNames>; readonly untilMs: number } | undefined;

  async function ask(): Promise<ModelNames> {
    const models = await client.models();
    return {
      served: [...new Set(models.map(({ model_name }) => model_name))],
      groups: [...new Set(models.flatMap(groupsOf))],
    };
  }

  return {
    names() {
      if (kept !== undefined && performance.now() < kept.untilMs) return kept.names;
      const names = ask();
      const asked = { names, untilMs: performance.now() + keptMs };
      kept = asked;
      names.catch(() => {
        if (kept === asked) kept = undefined;
      });
      return names;
    },
    forget() {
      kept = undefined;
    },
  };
}

function groupsOf({ model_info }: LiteLLMModel): readonly string[] {
  const { error, value } = groupsSchema.validate(model_info.access_groups);
  return error === undefined ? (value ?? []) : [];
}
