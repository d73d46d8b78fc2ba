import { keyStatus, type VirtualKeyRecord } from '../keys/virtual-key.ts';
import type { KeyFilter } from './store.ts';

/** What a filter of keys has to know of one. */
export type FilteredFields = Pick<
  VirtualKeyRecord,
  'name' | 'alias' | 'ownerId' | 'teamId' | 'models' | 'tags' | 'expiresAtMs' | 'disabledAtMs' | 'revokedAtMs'
>;

/** Makes the check of a filter at one moment: all that it asks for is met. */
export function keyMatcher(filter: KeyFilter, nowMs: number): (key: FilteredFields) => boolean {
  const { models, status, ownerIds, teamIds, tag } = filter;
  const search = filter.search?.toLowerCase();
  return (key) => {
    if (models !== undefined && !models.some((model) => key.models.includes(model))) return false;
    if (status !== undefined && keyStatus(key, nowMs) !== status) return false;
    if (ownerIds !== undefined && !(key.ownerId !== null && ownerIds.includes(key.ownerId))) return false;
    if (teamIds !== undefined && !(key.teamId !== null && teamIds.includes(key.teamId))) return false;
    if (tag !== undefined && !key.tags.includes(tag)) return false;
    return search === undefined || key.name.toLowerCase().includes(search) || key.alias.toLowerCase().includes(search);
  };
}
