import { LiteLLMError } from '../../errors.ts';
import { createAlias } from '../../keys/alias.ts';

const maxTries = 5;

/** Whether LiteLLM has a key of this alias already, whosever it is. */
export function isAliasTaken(error: unknown): boolean {
  return error instanceof LiteLLMError && error.answer.status === 400 && error.answer.param === 'key_alias';
}

/** Does something under an alias, and under another one of the same name where it is taken; answers which it was. */
export async function underFreeAlias<T>(
  alias: string,
  act: (alias: string) => Promise<T>,
): Promise<{ readonly alias: string; readonly done: T }> {
  let tried = alias;
  for (let tries = 1; ; tries += 1) {
    try {
      return { alias: tried, done: await act(tried) };
    } catch (error) {
      if (!isAliasTaken(error) || tries === maxTries) throw error;
      tried = otherAlias(alias);
    }
  }
}

/** The same name with other digits. */
export function otherAlias(alias: string): string {
  return createAlias(alias.replace(/_[0-9a-f]{8}$/, ''));
}
