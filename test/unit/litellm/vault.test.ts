import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createVault } from '../../../lib/litellm/index.ts';
import { discreetVault } from '../../../lib/litellm/vault.ts';

describe('createVault', () => {
  const key = randomBytes(32);

  it('opens what it sealed, whatever form its key was given in, and seals nothing alike twice', async () => {
    const sealed = await createVault({ key }).seal('sk-secret');
    assert.equal(await createVault({ key: key.toString('hex') }).open(sealed), 'sk-secret');
    assert.equal(await createVault({ key: key.toString('base64') }).open(sealed), 'sk-secret');
    assert.notEqual(await createVault({ key }).seal('sk-secret'), sealed);
    assert.ok(!Buffer.from(sealed, 'base64url').includes('sk-secret'));
  });

  it('opens nothing that another vault sealed, or that was changed or cut', async () => {
    const vault = createVault({ key });
    const sealed = await vault.seal('sk-secret');
    const changed = Buffer.from(sealed, 'base64url');
    changed[20] = (changed[20] ?? 0) ^ 1;
    for (const text of [
      await createVault({ key: randomBytes(32) }).seal('sk-secret'),
      changed.toString('base64url'),
      sealed.slice(0, 20),
      '',
    ]) {
      await assert.rejects(async () => vault.open(text));
    }
  });

  it('refuses a key that is not 32 bytes', () => {
    for (const wrong of [randomBytes(16), 'short', randomBytes(31).toString('hex'), undefined as never]) {
      assert.throws(() => createVault({ key: wrong }), TypeError);
    }
  });
});

describe('discreetVault', () => {
  it('tells of a failure in its own words alone', async () => {
    const leaking = {
      seal: (text: string) => Promise.reject(new Error(text)),
      open: (text: string) => {
        throw new Error(text);
      },
    };
    for (const act of [discreetVault(leaking).seal, discreetVault(leaking).open]) {
      await assert.rejects(
        async () => act('sk-secret'),
        (error: Error) => {
          assert.match(error.message, /^The vault did not (seal|open) a secret/);
          return !`${error.stack}${String(error.cause)}`.includes('sk-secret');
        },
      );
    }
  });
});
