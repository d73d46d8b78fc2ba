import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import fc from 'fast-check';
import { createSecretFormat, displayPrefix, mintSecret, readSecret } from '../../../lib/keys/secret.ts';

const prefix = 'sk-llm';
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const hmac = (value: string, text: string) => createHmac('sha256', value).update(text).digest('hex');
const oldPepper = { id: 'p1', value: 'an old pepper of enough bytes' };
const newPepper = { id: 'p2', value: 'a new pepper of enough bytes' };
const replacedAt = (text: string, at: number, character: string) => text.slice(0, at) + character + text.slice(at + 1);

describe('mintSecret', () => {
  it('makes 43 random digits and 6 of checksum after the prefix', () => {
    assert.match(mintSecret(prefix), /^sk-llm-[0-9A-Za-z]{49}$/);
  });

  it('makes no secret twice', () => {
    assert.equal(new Set(Array.from({ length: 1000 }, () => mintSecret(prefix))).size, 1000);
  });

  it('uses every digit about as often as any other', () => {
    const seen = new Map<string, number>();
    for (let round = 0; round < 2000; round += 1) {
      for (const digit of mintSecret(prefix).slice(prefix.length + 1, -6)) seen.set(digit, (seen.get(digit) ?? 0) + 1);
    }
    // 86,000 digits, 1,387 of each on average, with a standard deviation of 37; unfair ones would differ by 20 %.
    assert.equal(seen.size, 62);
    for (const [digit, times] of seen) assert.ok(Math.abs(times - 1387) < 260, `${digit}: ${times}`);
  });
});

describe('readSecret', () => {
  it('knows its own secrets, whatever the prefix', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[\w-]{1,32}$/), (anyPrefix) => {
        assert.equal(readSecret(mintSecret(anyPrefix), anyPrefix), 'ours');
      }),
    );
  });

  it('takes CRC-32 over all before it in base 62 for the checksum', () => {
    const body = `sk-llm-${'0'.repeat(43)}`;
    assert.equal(readSecret(body + checksumByDefinition(body), prefix), 'ours');
    assert.equal(readSecret(`${body}000000`, prefix), 'malformed');
  });

  it('calls a secret with any one character changed malformed', () => {
    const secret = mintSecret(prefix);
    for (let at = prefix.length + 1; at < secret.length; at += 1) {
      const other = secret.charAt(at) === 'x' ? 'y' : 'x';
      assert.equal(readSecret(replacedAt(secret, at, other), prefix), 'malformed', `position ${at}`);
    }
  });

  it('calls a character that is no digit malformed', () => {
    const secret = mintSecret(prefix);
    for (const character of ['-', '_', 'é', '中', '\u0000', ' ']) {
      assert.equal(readSecret(replacedAt(secret, 10, character), prefix), 'malformed');
      assert.equal(readSecret(replacedAt(secret, secret.length - 1, character), prefix), 'malformed');
    }
  });

  it('calls everything foreign that has another prefix or length', () => {
    const secret = mintSecret(prefix);
    const others = ['', secret.slice(0, -1), `${secret}0`, mintSecret('sk-lln'), 'sk-llm', `sk-llm-${'0'.repeat(600)}`];
    for (const other of others) assert.equal(readSecret(other, prefix), 'foreign', other);
    assert.equal(readSecret(replacedAt(secret, prefix.length, '_'), prefix), 'foreign');
  });

  it('calls no text of our length ours that was not minted', () => {
    const tail = fc.string({ minLength: 49, maxLength: 49 });
    fc.assert(fc.property(tail, (text) => assert.equal(readSecret(`${prefix}-${text}`, prefix), 'malformed')));
  });
});

describe('displayPrefix', () => {
  it('shows the first 8 characters and the last 4', () => {
    assert.equal(displayPrefix('sk-llm-A23456789tail'), 'sk-llm-A…tail');
  });
});

describe('createSecretFormat', () => {
  const secret = mintSecret(prefix);

  it('hashes with SHA-256 without a pepper', () => {
    const format = createSecretFormat({ prefix });
    assert.equal(format.hash(secret), sha256(secret));
    assert.deepEqual(format.candidateHashes(secret), [sha256(secret)]);
  });

  it('hashes the digest with the current pepper, and looks for older hashes as well', () => {
    const format = createSecretFormat({ prefix, pepper: { ...newPepper, previous: [oldPepper] } });
    const digest = sha256(secret);
    assert.equal(format.hash(secret), `p2:${hmac(newPepper.value, digest)}`);
    assert.deepEqual(format.candidateHashes(secret), [
      `p2:${hmac(newPepper.value, digest)}`,
      `p1:${hmac(oldPepper.value, digest)}`,
      digest,
    ]);
  });

  it('finds keys hashed before a pepper, and before the pepper was rotated', () => {
    const plain = createSecretFormat({ prefix });
    const first = createSecretFormat({ prefix, pepper: oldPepper });
    const second = createSecretFormat({ prefix, pepper: { ...newPepper, previous: [oldPepper] } });
    assert.ok(first.candidateHashes(secret).includes(plain.hash(secret)));
    assert.ok(second.candidateHashes(secret).includes(plain.hash(secret)));
    assert.ok(second.candidateHashes(secret).includes(first.hash(secret)));
  });

  it('takes a pepper of bytes', () => {
    const value = Buffer.from(oldPepper.value);
    const asText = createSecretFormat({ prefix, pepper: oldPepper });
    assert.equal(createSecretFormat({ prefix, pepper: { id: 'p1', value } }).hash(secret), asText.hash(secret));
  });

  it('has no hash to look for when the text is longer than 512 characters', () => {
    const format = createSecretFormat({ prefix, pepper: newPepper });
    assert.equal(format.candidateHashes('x'.repeat(512)).length, 2);
    assert.deepEqual(format.candidateHashes('x'.repeat(513)), []);
  });

  it('mints secrets that it knows', () => {
    const format = createSecretFormat({ prefix: 'k' });
    assert.equal(format.read(format.mint()), 'ours');
    assert.equal(format.read(secret), 'foreign');
    assert.equal(format.display(secret), displayPrefix(secret));
  });

  for (const bad of ['', 'a b', 'sk.llm', 'ключ', 'x'.repeat(33)]) {
    it(`refuses the prefix ${JSON.stringify(bad)}`, () => {
      assert.throws(() => createSecretFormat({ prefix: bad }), {
        name: 'TypeError',
        message: 'createVirtualKeys: secretPrefix must be 1 to 32 characters of A-Z a-z 0-9 _ -',
      });
    });
  }

  it('refuses peppers that are of no use, without showing them', () => {
    const value = 'short secret';
    const cases: readonly [object, string][] = [
      [{ id: 'a:b', value: newPepper.value }, 'pepper.id must be 1 to 32 characters of A-Z a-z 0-9 _ . -'],
      [{ id: 'p1', value }, 'the value of pepper p1 must be a string or Buffer of at least 16 bytes'],
      [{ id: 'p1' }, 'the value of pepper p1 must be a string or Buffer of at least 16 bytes'],
      [{ ...oldPepper, previous: [oldPepper] }, 'pepper p1 is listed twice'],
      [{ ...oldPepper, previous: oldPepper }, 'pepper.previous must be a list of { id, value }'],
    ];
    for (const [pepper, message] of cases) {
      assert.throws(() => createSecretFormat({ prefix, pepper: pepper as never }), {
        name: 'TypeError',
        message: `createVirtualKeys: ${message}`,
      });
    }
    const misspelt = { ...oldPepper, previus: [] };
    assert.throws(
      () => createSecretFormat({ prefix, pepper: misspelt }),
      /no option "previus"; did you mean "previous"/,
    );
  });
});

/** Bit by bit, as ISO 3309 has it: nothing shared with the table. */
function checksumByDefinition(text: string): string {
  let crc = 0xffffffffn;
  for (const byte of Buffer.from(text)) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1n ? (crc >> 1n) ^ 0xedb88320n : crc >> 1n;
  }
  let value = crc ^ 0xffffffffn;
  let digits = '';
  for (let at = 0; at < 6; at += 1) {
    digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'.charAt(Number(value % 62n)) + digits;
    value /= 62n;
  }
  return digits;
}
