import { hash as digestOf } from 'node:crypto';
import { base62, randomBase62, readBase62 } from './base62.ts';
import { crc32 } from './crc32.ts';
import { type Pepper, pepperedHashes } from './pepper.ts';

export type { Pepper } from './pepper.ts';

/** 62^43 is a little more than 2^256. */
const randomDigits = 43;
/** Enough for 2^32 - 1. */
const checksumDigits = 6;
/** Whoever sends more wants to keep the hash busy. */
const maxSecretLength = 512;
/** What imported secrets begin with. Tokens of other kinds, such as JWTs, need no look-up. */
const importedPrefix = 'sk-';
const prefixShape = /^[\w-]{1,32}$/;

/**
 * How a string looks, before any store is asked: `ours` may be a secret of this service; `malformed` has our prefix and
 * length, and a checksum or character that no secret of ours has; `foreign` is everything else.
 */
export type SecretShape = 'ours' | 'malformed' | 'foreign';

/** Makes, recognises and hashes the secrets of one service. */
export interface SecretFormat {
  /** A new secret: `<prefix>-<43 random digits><6 digits of checksum>`. */
  mint(): string;
  read(text: string): SecretShape;
  /** Whether a foreign text may be a secret that was made elsewhere and imported: only a look-up can tell. */
  mayBeImported(text: string): boolean;
  /** The hash that a new secret is stored under. */
  hash(secret: string): string;
  /**
   * Every hash that this secret may be stored under, the one of {@link SecretFormat.hash} first. None for a text of more
   * than 512 characters: it is no secret of anybody.
   */
  candidateHashes(secret: string): readonly string[];
  /** As {@link SecretFormat.candidateHashes}, of a secret of which only its SHA-256 in hex is known. */
  hashesOfDigest(digest: string): readonly string[];
  /** Its first 8 characters and last 4, to tell keys apart by. */
  display(secret: string): string;
}

export interface SecretFormatOptions {
  /** 1 to 32 characters of `A-Z a-z 0-9 _ -`. */
  readonly prefix: string;
  readonly pepper?: Pepper | undefined;
  /** Whether secrets that were made elsewhere may open keys; asked each time. @defaultValue never */
  readonly acceptsImported?: (() => boolean) | undefined;
}

/**
 * Secrets are stored as SHA-256 in hex, or with a pepper as `<pepper id>:` and HMAC-SHA-256 over that digest. They are
 * 256 random bits, so a slow hash would protect nothing and cost every request.
 *
 * @throws TypeError when prefix or pepper is of no use
 */
export function createSecretFormat({
  prefix,
  pepper,
  acceptsImported = () => false,
}: SecretFormatOptions): SecretFormat {
  if (typeof prefix !== 'string' || !prefixShape.test(prefix)) {
    throw new TypeError('createVirtualKeys: secretPrefix must be 1 to 32 characters of A-Z a-z 0-9 _ -');
  }
  const peppered = pepper === undefined ? [] : pepperedHashes(pepper);
  const [current] = peppered;

  function hashesOfDigest(digest: string): readonly string[] {
    return [...peppered.map((pepperedHash) => pepperedHash(digest)), digest];
  }

  return {
    mint: () => mintSecret(prefix),
    read: (text) => readSecret(text, prefix),
    mayBeImported(text) {
      const isFit = text.startsWith(importedPrefix) && text.length <= maxSecretLength;
      return isFit && acceptsImported() && readSecret(text, prefix) === 'foreign';
    },
    hash(secret) {
      const digest = sha256(secret);
      return current === undefined ? digest : current(digest);
    },
    candidateHashes: (secret) => (secret.length > maxSecretLength ? [] : hashesOfDigest(sha256(secret))),
    hashesOfDigest,
    display: displayPrefix,
  };
}

/** A new secret of 256 random bits, with a CRC-32 over all before it, so that a mistyped one is known by itself. */
export function mintSecret(prefix: string): string {
  const body = `${prefix}-${randomBase62(randomDigits)}`;
  return body + base62(crc32(body), checksumDigits);
}

/** How a text looks to a service with this prefix. The checksum is asked only of our exact prefix and length. */
export function readSecret(text: string, prefix: string): SecretShape {
  const bodyLength = prefix.length + 1 + randomDigits;
  const hasOurShape =
    text.length === bodyLength + checksumDigits && text.startsWith(prefix) && text.charAt(prefix.length) === '-';
  if (!hasOurShape) return 'foreign';
  // Not a number where any character is no digit, and then equal to nothing.
  const hasDigitsOnly = !Number.isNaN(readBase62(text, prefix.length + 1));
  const hasChecksum = readBase62(text, bodyLength) === crc32(text, bodyLength);
  return hasDigitsOnly && hasChecksum ? 'ours' : 'malformed';
}

export function displayPrefix(secret: string): string {
  return `${secret.slice(0, 8)}…${secret.slice(-4)}`;
}

function sha256(secret: string): string {
  return digestOf('sha256', secret, 'hex');
}
