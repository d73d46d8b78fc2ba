import { type Limits, noLimits } from '../../limits/limit.ts';

/** The column of that name: what nothing is filtered by. */
export type Settings = { readonly [field: string]: unknown } | null;

const limitNames = Object.keys(noLimits) as readonly (keyof Limits)[];

/** The limits among the fields of something; a field that is missing stays so, for the check of records to find. */
export function limitsOf<T extends { readonly [field in keyof Limits]?: unknown }>(
  fields: T | Settings,
): { readonly [field in keyof Limits]: unknown } {
  return Object.fromEntries(limitNames.map((name) => [name, (fields as Settings)?.[name]])) as {
    readonly [field in keyof Limits]: unknown;
  };
}
