import type { ScopeId, Take } from '../../../limits/limit.ts';
import { quoted } from '../records/names.ts';
import { fieldOf, type LedgerNames, readField, readScope } from './names.ts';

/** What a call takes, as scripts read it and holds keep it: of each scope its name, the number of fields, the fields. */
export interface CompiledTakes {
  readonly scopeIds: readonly ScopeId[];
  readonly fields: readonly (readonly string[])[];
  /** JSON. */
  readonly text: string;
}

const compiledTakes = new WeakMap<readonly Take[], CompiledTakes>();

/** Done once for each list: all holds under a plan have the same one. */
export function compileTakes(takes: readonly Take[]): CompiledTakes {
  const existing = compiledTakes.get(takes);
  if (existing !== undefined) return existing;
  const byScope = new Map<ScopeId, string[]>();
  for (const take of takes) {
    const fields = byScope.get(take.scopeId);
    if (fields === undefined) byScope.set(take.scopeId, [fieldOf(take)]);
    else fields.push(fieldOf(take));
  }
  const text = [...byScope].flatMap(([scopeId, fields]) => [quoted(scopeId), fields.length, ...fields]);
  const compiled = { scopeIds: [...byScope.keys()], fields: [...byScope.values()], text: JSON.stringify(text) };
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
