/** Whatever was told of each key, in the order in which it was told. */
export function byKey<T extends { readonly keyId: string }>(told: readonly T[]): ReadonlyMap<string, readonly T[]> {
  const ofKeys = new Map<string, T[]>();
  for (const each of told) {
    const ofKey = ofKeys.get(each.keyId);
    if (ofKey === undefined) ofKeys.set(each.keyId, [each]);
    else ofKey.push(each);
  }
  return ofKeys;
}
