import type { IncomingMessage } from 'node:http';

/** Headers in which clients put keys. */
export type CredentialPlace = 'authorization' | 'x-api-key' | 'api-key' | 'x-goog-api-key';

const places: readonly CredentialPlace[] = ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key'];

/** The parts of a request that are read; an `IncomingMessage` has them, of HTTP/1 and HTTP/2. */
export type CredentialSource = Pick<IncomingMessage, 'headers' | 'rawHeaders'>;

export type Credential =
  /** One secret that looks like ours, and every place it stands in. */
  | { readonly kind: 'found'; readonly secret: string; readonly places: readonly CredentialPlace[] }
  | { readonly kind: 'missing' }
  /** A key was given, and none of ours. */
  | { readonly kind: 'invalid' }
  /** Two different secrets that look like ours. Taking the first would let a proxy and this service disagree. */
  | { readonly kind: 'ambiguous' };

const bearer = /^bearer(?:\s+(\S.*))?$/i;

/**
 * Finds the key of a request. Only values that may be ours compete, so a token for somebody else beside our key is left
 * alone; alone, it is a key that is not valid. Another scheme of Authorization than Bearer says nothing.
 *
 * @param isOurs whether a value may be a secret of this service, by its looks
 * @param mayBeImported whether one that does not look so may be a secret made elsewhere: it is taken where it is alone
 */
export function readCredential(
  request: CredentialSource,
  isOurs: (text: string) => boolean,
  mayBeImported: (text: string) => boolean = () => false,
): Credential {
  const credential = readBy(request, isOurs);
  return credential.kind === 'invalid' ? readBy(request, mayBeImported) : credential;
}

function readBy(request: CredentialSource, isOurs: (text: string) => boolean): Credential {
  let secret: string | undefined;
  let hasForeign = false;
  const found: CredentialPlace[] = [];
  for (const place of places) {
    if (request.headers[place] === undefined) continue;
    for (const value of valuesOf(request, place)) {
      const text = secretIn(place, value);
      if (text === '') continue;
      if (!isOurs(text)) {
        hasForeign = true;
        continue;
      }
      if (secret !== undefined && text !== secret) return { kind: 'ambiguous' };
      secret = text;
      if (!found.includes(place)) found.push(place);
    }
  }
  if (secret !== undefined) return { kind: 'found', secret, places: found };
  return { kind: hasForeign ? 'invalid' : 'missing' };
}

/**
 * Takes a secret off a request wherever a handler, or what it forwards to, could read it. Other values of the same
 * header stay.
 */
export function removeCredential(
  request: CredentialSource & Partial<Pick<IncomingMessage, 'headersDistinct'>>,
  { secret, places: found }: Extract<Credential, { kind: 'found' }>,
): void {
  const { headers, rawHeaders } = request;
  for (const place of found) {
    const rest = valuesOf(request, place).filter((value) => secretIn(place, value) !== secret);
    // Node derives these from rawHeaders when they are first asked for, and counts on their old number: ask for them now.
    const distinct = request.headersDistinct;
    if (distinct !== undefined) {
      if (rest.length === 0) delete distinct[place];
      else distinct[place] = rest;
    }
    if (rest.length === 0) delete headers[place];
    else headers[place] = place === 'authorization' ? rest[0] : rest.join(', ');
    for (let at = rawHeaders.length - 2; at >= 0; at -= 2) {
      if (rawHeaders[at]?.toLowerCase() !== place) continue;
      if (secretIn(place, rawHeaders[at + 1] ?? '') === secret) rawHeaders.splice(at, 2);
    }
  }
}

/** Every value of a header: Node keeps the first Authorization alone, and joins the values of the others. */
function valuesOf({ headers, rawHeaders }: CredentialSource, place: CredentialPlace): readonly string[] {
  const kept = headers[place];
  if (typeof kept !== 'string') return kept ?? [];
  const raw: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    if (name?.length === place.length && name.toLowerCase() === place) raw.push(rawHeaders[at + 1] ?? '');
  }
  // Something before us may have set the header anew; then what came over the wire counts no more.
  const isAsSent = kept === raw.join(', ') || (place === 'authorization' && kept === raw[0]);
  return isAsSent ? raw : [kept];
}

function secretIn(place: CredentialPlace, value: string): string {
  const trimmed = value.trim();
  return place === 'authorization' ? (bearer.exec(trimmed)?.[1] ?? '') : trimmed;
}
