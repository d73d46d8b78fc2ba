import { type Budget, type Limits, type ModelLimit, noLimits } from '../limits/limit.ts';
import type { Permissions, PolicyRecord, VirtualKeyRecord } from './virtual-key.ts';

/** What of a key its operator chooses; the rest of the record the service keeps. */
export type KeyFields = Limits &
  Pick<
    VirtualKeyRecord,
    | 'name'
    | 'models'
    | 'endpoints'
    | 'permissions'
    | 'ownerId'
    | 'teamId'
    | 'expiresAtMs'
    | 'rateLimitEnabled'
    | 'rateLimitPreset'
    | 'allowedIps'
    | 'tags'
    | 'metadata'
  >;

/** What of a policy its operator chooses. */
export type PolicyFields = Limits & Pick<PolicyRecord, 'models' | 'endpoints'>;

/** Limits per model as they are given: each kind by itself, by model name or pattern. */
export interface ModelLimitMaps {
  readonly modelRpmLimit: ReadonlyMap<string, number>;
  readonly modelTpmLimit: ReadonlyMap<string, number>;
  readonly modelMaxBudget: ReadonlyMap<string, Budget>;
}

/** The fields that an input names; those it leaves out are absent. */
export type Edits<F extends Limits> = Partial<Omit<F, 'modelLimits' | 'permissions'> & ModelLimitMaps>;

export type KeyEdits = Edits<KeyFields> & { readonly permissions?: Partial<Permissions> };

export const allPermissions: Permissions = {
  allowChatCompletions: true,
  allowEmbeddings: true,
  allowCompletions: true,
};

/** A key of which nothing was chosen: no model, no limit. */
export const blankKey: KeyFields = {
  ...noLimits,
  name: '',
  models: [],
  endpoints: null,
  permissions: allPermissions,
  ownerId: null,
  teamId: null,
  expiresAtMs: null,
  rateLimitEnabled: true,
  rateLimitPreset: null,
  allowedIps: null,
  tags: [],
  metadata: {},
};

/** A policy that narrows nothing. */
const blankPolicy: PolicyFields = { ...noLimits, models: null, endpoints: null };

/** The fields after the edits; what they leave out stays. */
export function editKey(current: KeyFields, edits: KeyEdits): KeyFields {
  const { permissions, modelRpmLimit, modelTpmLimit, modelMaxBudget, ...fields } = edits;
  return {
    ...keyFields(current),
    ...fields,
    permissions: { ...current.permissions, ...permissions },
    modelLimits: editModelLimits(current.modelLimits, edits),
  };
}

/** The fields of a policy. It replaces the one before, so what the edits leave out does not narrow. */
export function completePolicy(edits: Edits<PolicyFields>): PolicyFields {
  const { modelRpmLimit, modelTpmLimit, modelMaxBudget, ...fields } = edits;
  return { ...blankPolicy, ...fields, modelLimits: editModelLimits([], edits) };
}

/** What was chosen of a record, without what the service keeps. */
function keyFields(record: KeyFields): KeyFields {
  const names = Object.keys(blankKey) as (keyof KeyFields)[];
  return { ...blankKey, ...Object.fromEntries(names.map((name) => [name, record[name]])) };
}

function editModelLimits(current: readonly ModelLimit[], edits: Partial<ModelLimitMaps>): readonly ModelLimit[] {
  const stood = modelLimitMaps(current);
  const rpm = edits.modelRpmLimit ?? stood.modelRpmLimit;
  const tpm = edits.modelTpmLimit ?? stood.modelTpmLimit;
  const budgets = edits.modelMaxBudget ?? stood.modelMaxBudget;
  return Array.from(new Set([...rpm.keys(), ...tpm.keys(), ...budgets.keys()]), (model) => ({
    model,
    rpmLimit: rpm.get(model) ?? null,
    tpmLimit: tpm.get(model) ?? null,
    maxBudget: budgets.get(model) ?? null,
  }));
}

/** The limits per model, each kind by itself. */
export function modelLimitMaps(modelLimits: readonly ModelLimit[]): ModelLimitMaps {
  const mapOf = <T>(pick: (limit: ModelLimit) => T | null) =>
    new Map(
      modelLimits.flatMap((limit) => {
        const value = pick(limit);
        return value === null ? [] : [[limit.model, value] as const];
      }),
    );
  return {
    modelRpmLimit: mapOf(({ rpmLimit }) => rpmLimit),
    modelTpmLimit: mapOf(({ tpmLimit }) => tpmLimit),
    modelMaxBudget: mapOf(({ maxBudget }) => maxBudget),
  };
}
