/** A JSON object of somebody else: every field is unknown until it is looked at. */
export interface JsonObject {
  readonly [field: string]: unknown;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether a body or event says that something failed. Successful ones may carry `error: null`. */
export function hasError(body: JsonObject): boolean {
  return body.error !== undefined && body.error !== null;
}

/** The object at a path, or `undefined` where one of the steps is none. */
export function objectAt(value: unknown, ...path: readonly string[]): JsonObject | undefined {
  let found: unknown = value;
  for (const field of path) found = isObject(found) ? found[field] : undefined;
  return isObject(found) ? found : undefined;
}

/** The objects of an array; none where it is no array. */
export function objectsIn(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** A token count as it was told: `undefined` when absent or null, NaN when it is no number. */
export function toldCount(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === 'number' ? value : Number.NaN;
}

/** The JSON value of a text, or `undefined` where it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
