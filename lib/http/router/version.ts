import { InvalidRequestError } from '../../errors.ts';

/** No record ever has this version, so it conflicts with all. */
const noVersion = 0;

/** The entity tag of a record. */
export function entityTag(version: number): string {
  return `"${version}"`;
}

/**
 * The version that a change expects, from `If-Match` (RFC 9110 §13.1.1) and the `version` of its body; `undefined`: any.
 * A weak tag counts as a strong one, because proxies that compress answers weaken tags.
 *
 * @throws InvalidRequestError when the two disagree, or `version` is none
 */
export function expectedVersion(ifMatch: string | undefined, version: unknown, current: number): number | undefined {
  if (version !== undefined && !(Number.isSafeInteger(version) && Number(version) > 0)) {
    throw new InvalidRequestError([{ field: 'version', message: 'must be the version of the key' }]);
  }
  const ofBody = version === undefined ? undefined : Number(version);
  if (ifMatch === undefined || ifMatch.trim() === '*') return ofBody;
  const ofHeader = Array.from(ifMatch.matchAll(/(?:W\/)?"(\d{1,15})"/g), ([, digits]) => Number(digits));
  if (ofBody === undefined) return ofHeader.includes(current) ? current : noVersion;
  if (ofHeader.includes(ofBody)) return ofBody;
  throw new InvalidRequestError([{ field: 'version', message: 'must be one that If-Match names' }]);
}
