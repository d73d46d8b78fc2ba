import { InvalidRequestError } from '../../errors.ts';
import type { KeyInput, Quotas } from '../../keys/key-input.ts';
import { keyInputProblems } from '../../keys/key-schema.ts';
import type { JsonObject } from './body.ts';
import { forbiddenFields, type Grant, keepsDefaults, keyScope } from './roles.ts';

/**
 * The input for a new key of a caller: put among the caller's own keys, and by none of its fields outside of what the
 * role may choose.
 *
 * @throws InvalidRequestError when no model is named: at this door that is a mistake, not a wish
 * @throws ForbiddenError naming every field that the role may not choose so
 */
export function newKeyInput(body: JsonObject, grant: Grant, quotas: Quotas, nowMs: number): KeyInput {
  const { ownerIds, teamIds } = keyScope(grant);
  const input = {
    ...body,
    ...ownPlace(body, 'ownerId', ownerIds?.includes(grant.actorId) ? [grant.actorId] : ownerIds),
    ...ownPlace(body, 'teamId', teamIds),
  };
  const unnamed = ['models', 'modelIds'].filter((field) => isEmptyList(body[field]));
  if (unnamed.length > 0) {
    const problems = unnamed.map((field) => ({ field, message: 'must name at least one model' }));
    throw new InvalidRequestError([...problems, ...keyInputProblems(input, nowMs)]);
  }
  const refused = [...refusedPlaces(input, grant), ...refusedChoices(input, grant, quotas)];
  if (refused.length > 0) throw forbiddenFields(grant, refused);
  // What the fields hold is checked by the service.
  return input as unknown as KeyInput;
}

/** Who can put a key into one place only need not name it. */
function ownPlace(body: JsonObject, field: 'ownerId' | 'teamId', ids: readonly string[] | undefined): JsonObject {
  return ids?.length === 1 && !isSaid(body[field]) ? { [field]: ids[0] } : {};
}

function refusedPlaces(input: JsonObject, grant: Grant): readonly string[] {
  const { ownerIds, teamIds } = keyScope(grant);
  const refused: string[] = [];
  if (!isAmong(ownerIds, input.ownerId)) refused.push('ownerId');
  // A key counts against its team's budget, so a user needs a place in the team.
  const joins = teamIds === undefined && keepsDefaults(grant) && isSaid(input.teamId);
  if (!isAmong(joins ? (grant.teamIds ?? []) : teamIds, input.teamId)) refused.push('teamId');
  return refused;
}

function refusedChoices(input: JsonObject, grant: Grant, { defaults, maximums }: Quotas): readonly string[] {
  if (!keepsDefaults(grant)) return [];
  const refused: string[] = [];
  if (input.rateLimitEnabled === false) refused.push('rateLimitEnabled');
  // Of the same amount in a shorter period there would be more.
  const choosesPeriod = isSaid(input.budgetDuration) && input.budgetDuration !== defaults.budgetDuration;
  if (choosesPeriod && maximums.maxBudget !== undefined) refused.push('budgetDuration');
  return refused;
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function isAmong(ids: readonly unknown[] | undefined, id: unknown): boolean {
  return ids === undefined || ids.includes(id);
}
