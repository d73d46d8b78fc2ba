import type { ScopeId, Take } from '../../../limits/limit.ts';
import { quoted } from '../records/names.ts';
import { fieldOf, type LedgerNames, readField, readScope } from './names.ts';

/** What a call takes, as scripts read it and holds keep it: of each scope its name, the number of fields, the fields. */
export interface CompiledTakes {
  readonly scopeIds: readonly ScopeId[];
  /** Those of budgets, in their order in the text. */
  readonly budgets: readonly Take[];
  /** Whether no scope has two limits of one name, which would count in one field. */
  readonly isPlain: boolean;
  /** JSON. */
  readonly text: string;
}

const compiledTakes = new WeakMap<readonly Take[], CompiledTakes>();

/** Done once for each list: all holds under a plan have the same one. */
export function compileTakes(takes: readonly Take[]): CompiledTakes {
  const existing = compiledTakes.get(takes);
  if (existing !== undefined) return existing;
  const byScope = new Map<ScopeId, Take[]>();
  for (const take of takes) {
    const ofScope = byScope.get(take.scopeId);
    if (ofScope === undefined) byScope.set(take.scopeId, [take]);
    else ofScope.push(take);
  }
  const scopes = [...byScope].map(([scopeId, ofScope]) => ({ scopeId, fields: ofScope.map(fieldOf) }));
  const compiled = {
    scopeIds: [...byScope.keys()],
    budgets: [...byScope.values()].flat().filter(({ measure }) => measure === 'budget'),
    isPlain: scopes.every(({ fields }) => new Set(fields).size === fields.length),
    text: JSON.stringify(scopes.flatMap(({ scopeId, fields }) => [quoted(scopeId), fields.length, ...fields])),
  };
  compiledTakes.set(takes, compiled);
  return compiled;
}

export function readTakes(text: string): readonly Take[] {
  const listed: readonly (string | number)[] = JSON.parse(text);
  const takes: Take[] = [];
  for (let at = 0; at < listed.length; ) {
    const scopeId = readScope(String(listed[at]));
    const end = at + 2 + Number(listed[at + 1]);
    for (const field of listed.slice(at + 2, end)) takes.push({ scopeId, ...readField(String(field)) });
    at = end;
  }
  return takes;
}

export type TakesByShard = ReadonlyMap<number, CompiledTakes>;

/** Tells what is taken in which shard. */
export function createTakesSplitter(names: Pick<LedgerNames, 'shardOf'>): (takes: readonly Take[]) => TakesByShard {
  const splitTakes = new WeakMap<readonly Take[], TakesByShard>();
  return (takes) => {
    const existing = splitTakes.get(takes);
    if (existing !== undefined) return existing;
    const shards = new Set(takes.map(({ scopeId }) => names.shardOf(scopeId)));
    const inShard = (shard: number) =>
      shards.size === 1 ? takes : takes.filter(({ scopeId }) => names.shardOf(scopeId) === shard);
    const split = new Map([...shards].map((shard) => [shard, compileTakes(inShard(shard))]));
    splitTakes.set(takes, split);
    return split;
  };
}
