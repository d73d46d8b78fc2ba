import { isKeyRecord } from '../../../keys/record-check.ts';
import type { VirtualKeyRecord } from '../../../keys/virtual-key.ts';
import type { FilteredFields } from '../../key-filter.ts';
import type { RecordNames } from './names.ts';

/** Beside its text a record has what changes without it, or is decided by the store: these win. */
export const keyFields = ['json', 'version', 'revision', 'createdAtMs', 'lastUsedAtMs'] as const;

/** `corrupt` for what is no key any more, since somebody edited it. */
export function readKey(fields: readonly (string | null)[]): VirtualKeyRecord | undefined | 'corrupt' {
  if (fields.every((field) => field === null)) return undefined;
  const [json, version, revision, createdAtMs, lastUsedAtMs] = fields;
  const record: unknown = {
    ...parsedObject(json),
    version: Number(version ?? Number.NaN),
    revision: Number(revision ?? Number.NaN),
    createdAtMs: Number(createdAtMs ?? Number.NaN),
    lastUsedAtMs: lastUsedAtMs == null ? null : Number(lastUsedAtMs),
  };
  return isKeyRecord(record) ? record : 'corrupt';
}

export function parsedObject(json: string | null | undefined): object {
  try {
    const parsed: unknown = JSON.parse(json ?? '');
    return typeof parsed === 'object' && parsed !== null ? parsed : {};
  } catch {
    return {};
  }
}

export function hashesOf({ secretHash, previousSecret }: VirtualKeyRecord): readonly string[] {
  return previousSecret === null ? [secretHash] : [secretHash, previousSecret.secretHash];
}

export function isEnabled({ revokedAtMs, disabledAtMs }: Pick<VirtualKeyRecord, 'revokedAtMs' | 'disabledAtMs'>) {
  return revokedAtMs === null && disabledAtMs === null;
}

/** The indexes in which the entry of a key stands. */
export function indexesOf(key: VirtualKeyRecord, names: RecordNames): readonly string[] {
  const { ownerId, teamId, tags, models, revokedAtMs, disabledAtMs } = key;
  const state = revokedAtMs !== null ? 'revoked' : disabledAtMs !== null ? 'disabled' : 'enabled';
  const indexes = [
    names.all,
    names.index('state', state),
    ...tags.map((tag) => names.index('tag', tag)),
    ...models.map((model) => names.index('model', model)),
  ];
  if (ownerId !== null) indexes.push(names.index('owner', ownerId));
  if (teamId !== null) indexes.push(names.index('team', teamId));
  return [...new Set(indexes)];
}

export function filteredText(key: VirtualKeyRecord): string {
  const { name, alias, ownerId, teamId, models, tags, expiresAtMs, disabledAtMs, revokedAtMs } = key;
  const filtered: FilteredFields = {
    name,
    alias,
    ownerId,
    teamId,
    models,
    tags,
    expiresAtMs,
    disabledAtMs,
    revokedAtMs,
  };
  return JSON.stringify(filtered);
}

export function readFiltered(text: string): FilteredFields | undefined {
  const fields = parsedObject(text) as Partial<FilteredFields>;
  const { name, alias, models, tags } = fields;
  const isWhole = typeof name === 'string' && typeof alias === 'string' && Array.isArray(models) && Array.isArray(tags);
  return isWhole ? (fields as FilteredFields) : undefined;
}
