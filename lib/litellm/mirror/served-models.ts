import type { LiteLLMClient } from '../client/client.ts';

/** The names of the models that LiteLLM serves, asked for when they are needed and kept for a while. */
export interface ServedModels {
  names(): Promise<readonly string[]>;
  /** They are asked for anew. */
  forget(): void;
}

const keptMs = 60_000;

export function createServedModels(client: LiteLLMClient): ServedModels {
  let kept: { readonly names: Promise<readonly string[]>; readonly untilMs: number } | undefined;

  async function ask(): Promise<readonly string[]> {
    return [...new Set((await client.models()).map(({ model_name }) => model_name))];
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
