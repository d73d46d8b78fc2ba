import { matchesPattern } from '../../pattern.ts';

/** What LiteLLM takes for no model at all. An empty list would be every model. */
export const noModels: readonly string[] = ['no-default-models'];

/** Words of LiteLLM in the place of a model. The others of them mean every model, whatever a key of ours means by them. */
const reservedNames: ReadonlySet<string> = new Set(['all-proxy-models', 'all-team-models', ...noModels]);

export interface TwinModels {
  readonly models: readonly string[];
  /** Patterns and names that are no model of LiteLLM. */
  readonly unmatched: readonly string[];
}

/** Whether `*` is LiteLLM's own word for every model, or the list of those that it serves now. */
export type EveryModel = 'all' | 'listed';

export interface ModelNamesOptions {
  readonly models: EveryModel;
  /** The models that LiteLLM serves. */
  readonly served: readonly string[];
  /** Names that mean several models there. */
  readonly groups: readonly string[];
}

/** A key's models as LiteLLM takes them: patterns become the names that match among those that it serves. */
export function twinModels(patterns: readonly string[], options: ModelNamesOptions): TwinModels {
  const { served, groups } = options;
  if (patterns.includes('*') && options.models === 'all') return { models: [], unmatched: [] };
  const models = new Set<string>();
  const unmatched: string[] = [];
  for (const pattern of patterns) {
    const names = matching(pattern, served).filter((name) => !meansMore(name, served, groups));
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
    for (const name of matching(pattern, served)) byModel.set(name, Math.min(limit, byModel.get(name) ?? limit));
  }
  return Object.fromEntries([...byModel].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function matching(pattern: string, served: readonly string[]): readonly string[] {
  return pattern.endsWith('*') ? served.filter((name) => matchesPattern(pattern, name)) : [pattern];
}

/** Whether a name would open models there that it does not name here. */
function meansMore(name: string, served: readonly string[], groups: readonly string[]): boolean {
  return reservedNames.has(name) || (groups.includes(name) && !served.includes(name));
}
