import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { LiteLLMError } from '../errors.ts';

/** Keeps secrets unreadable while they wait for LiteLLM. Any key management service will do. */
export interface SecretVault {
  seal(secret: string): string | Promise<string>;
  /** @throws where the text was not sealed by this vault, or was changed since */
  open(sealed: string): string | Promise<string>;
}

const algorithm = 'aes-256-gcm';
const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

/**
 * A vault by AES-256-GCM, each text under a nonce of its own.
 *
 * @throws TypeError for a key that is not 32 bytes: as bytes, in hex, or in base64
 */
export function createVault({ key }: { readonly key: string | Uint8Array }): SecretVault {
  const secretKey = readKey(key);
  return {
    seal(secret) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv(algorithm, secretKey, nonce, { authTagLength: tagBytes });
      const text = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
      return Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64url');
    },
    open(sealed) {
      const bytes = Buffer.from(sealed, 'base64url');
      const nonce = bytes.subarray(0, nonceBytes);
      const decipher = createDecipheriv(algorithm, secretKey, nonce, { authTagLength: tagBytes });
      decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
      const text = bytes.subarray(nonceBytes + tagBytes);
      return Buffer.concat([decipher.update(text), decipher.final()]).toString('utf8');
    },
  };
}

/** The same vault, whose failures are told in words of our own: those of another could hold what it was given. */
export function discreetVault(vault: SecretVault): SecretVault {
  async function ask(act: () => string | Promise<string>, name: string): Promise<string> {
    try {
      return await act();
    } catch {
      throw new LiteLLMError('litellm_unavailable', `The vault did not ${name} a secret that is to wait for LiteLLM`);
    }
  }
  return {
    seal: (secret) => ask(() => vault.seal(secret), 'seal'),
    open: (sealed) => ask(() => vault.open(sealed), 'open'),
  };
}

function readKey(key: unknown): Buffer {
  const bytes =
    key instanceof Uint8Array
      ? Buffer.from(key)
      : Buffer.from(String(key), /^[0-9a-f]{64}$/i.test(String(key)) ? 'hex' : 'base64');
  if (bytes.length !== keyBytes)
    throw new TypeError('createVault: key must be 32 bytes, in hex or base64 where a text');
  return bytes;
}
