import { matchesPattern } from '../../pattern.ts';

/** What LiteLLM takes for no model at all. An empty list would be every model. */
export const noModels: readonly string[] = ['no-default-models'];

export interface TwinModels {
  readonly models: readonly string[];
  /** Patterns that no model of LiteLLM matches. */
  readonly unmatched: readonly string[];
}

/** Whether `*` is LiteLLM's own word for every model, or the list of those that it serves now. */
export type EveryModel = 'all' | 'listed';

/** A key's models as LiteLLM takes them: patterns become the names that match among those that it serves. */
export function twinModels(patterns: readonly string[], served: readonly string[], every: EveryModel): TwinModels {
  if (patterns.includes('*') && every === 'all') return { models: [], unmatched: [] };
  const models = new Set<string>();
  const unmatched: string[] = [];
  for (const pattern of patterns) {
    const names = pattern.endsWith('*') ? served.filter((name) => matchesPattern(pattern, name)) : [pattern];
    if (names.length === 0) unmatched.push(pattern);
    for (const name of names) models.add(name);
  }
  return { models: models.size === 0 ? noModels : [...models].sort(), unmatched };
}

/** Limits per model, by the names that their patterns match; of several for one model the lowest. */
export function twinModelLimits(
  limits: { readonly [pattern: string]: number },
  served: readonly string[],
): { readonly [model: string]: number } {
  const byModel = new Map<string, number>();
  for (const [pattern, limit] of Object.entries(limits)) {
    const names = pattern.endsWith('*') ? served.filter((name) => matchesPattern(pattern, name)) : [pattern];
    for (const name of names) byModel.set(name, Math.min(limit, byModel.get(name) ?? limit));
  }
  return Object.fromEntries([...byModel].sort(([a], [b]) => (a < b ? -1 : 1)));
}
