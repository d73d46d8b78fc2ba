import type { Metadata } from './virtual-key.ts';

export const maxMetadataBytes = 16_384;

/** The metadata as plain JSON objects; `undefined` when it is no JSON object, or longer than {@link maxMetadataBytes}. */
export function readMetadata(value: unknown): Metadata | undefined {
  if (!isObject(value) || !isJson(value)) return undefined;
  const text = JSON.stringify(value);
  return Buffer.byteLength(text) <= maxMetadataBytes ? JSON.parse(text) : undefined;
}

function isJson(value: unknown): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true;
  if (typeof value === 'number') return Number.isFinite(value);
  if (Array.isArray(value)) return value.every(isJson);
  return isObject(value) && Object.values(value).every(isJson);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
