import { type ScopeId, type ScopeKind, scopeKind } from '../limits/limit.ts';
import { matchesPattern } from '../pattern.ts';
import type { Permissions } from './virtual-key.ts';

export type PermissionName = keyof Permissions;

interface AccessLists {
  readonly models: readonly string[] | null;
  readonly endpoints: readonly string[] | null;
}

/** What a request is judged by: a key and the policies over it. */
export interface AccessSubject {
  readonly key: AccessLists & { readonly models: readonly string[]; readonly permissions: Permissions };
  readonly policies: readonly { readonly scopeId: ScopeId; readonly policy: AccessLists | null }[];
}

/** Whether something is allowed, and whose list refuses it. */
export type Access = { readonly allowed: true } | { readonly allowed: false; readonly scope: ScopeKind };

const allowed: Access = { allowed: true };
const maxModelNameLength = 256;

/** Whether this may be the name of a model at all: 1 to 256 printable characters. */
export function isModelName(name: unknown): name is string {
  return (
    typeof name === 'string' &&
    name.length > 0 &&
    name.length <= maxModelNameLength &&
    !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(name)
  );
}

/** Whether the key and every policy over it allow the model. An empty list allows none. */
export function mayUseModel({ key, policies }: AccessSubject, model: string): Access {
  if (!allows(key.models, model)) return { allowed: false, scope: 'key' };
  for (const { scopeId, policy } of policies) {
    const models = policy?.models ?? null;
    if (models !== null && !allows(models, model)) return { allowed: false, scope: scopeKind(scopeId) };
  }
  return allowed;
}

/**
 * The models that a key may use, by name: of those known, and of those that its lists name outright. A pattern stands
 * for no name of its own.
 */
export function usableModels(subject: AccessSubject, known: Iterable<string>): readonly string[] {
  const lists = [subject.key.models, ...subject.policies.map(({ policy }) => policy?.models ?? [])];
  const candidates = new Set([...lists.flat().filter((name) => !name.endsWith('*')), ...known]);
  return Array.from(candidates).filter((name) => mayUseModel(subject, name).allowed);
}

export interface EndpointOptions {
  /** What the endpoint needs. @defaultValue what its path stands for, see {@link permissionOf} */
  readonly permission?: PermissionName | null | undefined;
  /** Another path of the same endpoint; a list that names either one allows it. */
  readonly alsoAs?: string | undefined;
}

/**
 * Whether the key's permissions, its list of endpoints and those of every policy over it allow a call of this path.
 * Lists hold paths or `prefix*`. Case and a slash at the end don't count.
 */
export function mayUseEndpoint({ key, policies }: AccessSubject, path: string, options: EndpointOptions = {}): Access {
  const { permission = permissionOf(path), alsoAs = path } = options;
  if (permission !== null && !key.permissions[permission]) return { allowed: false, scope: 'key' };
  const names = alsoAs === path ? [comparable(path)] : [comparable(path), comparable(alsoAs)];
  if (!allowsAny(key.endpoints, names)) return { allowed: false, scope: 'key' };
  for (const { scopeId, policy } of policies) {
    if (!allowsAny(policy?.endpoints ?? null, names)) return { allowed: false, scope: scopeKind(scopeId) };
  }
  return allowed;
}

/** The first ending that fits decides, so the longer ones come first. */
const permissionByEnding: readonly (readonly [ending: string, permission: PermissionName])[] = [
  ['/chat/completions', 'allowChatCompletions'],
  ['/completions', 'allowCompletions'],
  ['/responses', 'allowChatCompletions'],
  ['/messages', 'allowChatCompletions'],
  ['/messages/count_tokens', 'allowChatCompletions'],
  [':generatecontent', 'allowChatCompletions'],
  [':streamgeneratecontent', 'allowChatCompletions'],
  [':counttokens', 'allowChatCompletions'],
  ['/embeddings', 'allowEmbeddings'],
  [':embedcontent', 'allowEmbeddings'],
  [':batchembedcontents', 'allowEmbeddings'],
];

/** The permission that a call of this path needs; `null`: only lists of endpoints rule it. */
export function permissionOf(path: string): PermissionName | null {
  const name = comparable(path);
  // A stored response is reached by its id, below the path that made it.
  if (name.includes('/responses/')) return 'allowChatCompletions';
  return permissionByEnding.find(([ending]) => name.endsWith(ending))?.[1] ?? null;
}

function allows(models: readonly string[], model: string): boolean {
  return models.some((pattern) => matchesPattern(pattern, model));
}

function allowsAny(patterns: readonly string[] | null, names: readonly string[]): boolean {
  if (patterns === null) return true;
  return patterns.some((pattern) => {
    const lowered = pattern.endsWith('*') ? pattern.toLowerCase() : comparable(pattern);
    return names.some((name) => matchesPattern(lowered, name));
  });
}

function comparable(path: string): string {
  const lowered = path.toLowerCase();
  return lowered.length > 1 && lowered.endsWith('/') ? lowered.slice(0, -1) : lowered;
}
