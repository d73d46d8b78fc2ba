import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Credential, readCredential, removeCredential } from '../../../lib/http/credentials.ts';
import { mintSecret, readSecret } from '../../../lib/keys/secret.ts';

const prefix = 'sk-llm';
const ours = mintSecret(prefix);
const other = mintSecret(prefix);
const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl';
const isOurs = (text: string) => readSecret(text, prefix) !== 'foreign';

/** Sends headers over a socket and lets the server look at the request, as a middleware would. */
async function receive<T>(headers: readonly string[], look: (received: IncomingMessage) => T): Promise<T> {
  let seen: { value: T } | undefined;
  const server = createServer((received, response) => {
    seen = { value: look(received) };
    response.end();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const sent = request({ port, host: '127.0.0.1', headers: ['Host', 'localhost', 'Connection', 'close', ...headers] });
  sent.end();
  const [answer] = await once(sent, 'response');
  answer.resume();
  await once(answer, 'end');
  server.close();
  assert.ok(seen !== undefined);
  return seen.value;
}

const read = (headers: readonly string[]) => receive(headers, (received) => readCredential(received, isOurs));

describe('readCredential', () => {
  const missing = { kind: 'missing' };
  const invalid = { kind: 'invalid' };
  const ambiguous = { kind: 'ambiguous' };
  const found = (...places: string[]) => ({ kind: 'found', secret: ours, places });
  const malformed = `${ours.slice(0, -1)}${ours.endsWith('x') ? 'y' : 'x'}`;

  const cases: readonly [title: string, headers: readonly string[], credential: object][] = [
    ['finds a bearer token', ['Authorization', `Bearer ${ours}`], found('authorization')],
    ['takes the scheme in any case', ['authorization', `bEARER   ${ours}`], found('authorization')],
    ['finds x-api-key', ['X-API-Key', ours], found('x-api-key')],
    ['finds api-key', ['api-key', ` ${ours} `], found('api-key')],
    ['finds x-goog-api-key', ['x-goog-api-key', ours], found('x-goog-api-key')],
    ['misses a key where there is no header', [], missing],
    ['misses a key in an empty Authorization', ['Authorization', ''], missing],
    ['misses a key in an empty Bearer', ['Authorization', 'Bearer '], missing],
    ['misses a key in another scheme', ['Authorization', 'Basic dXNlcjpwYXNz'], missing],
    ['misses a key where the scheme has no space', ['Authorization', `Bearer${ours}`], missing],
    ['calls a foreign string alone invalid', ['Authorization', 'Bearer sk-foreign'], invalid],
    ['calls a JWT alone invalid', ['Authorization', `Bearer ${jwt}`], invalid],
    ['calls a foreign x-api-key alone invalid', ['x-api-key', 'sk-ant-123'], invalid],
    [
      'finds a mistyped secret of ours',
      ['x-api-key', malformed],
      { kind: 'found', secret: malformed, places: ['x-api-key'] },
    ],
    ['lets a JWT beside our key alone', ['Authorization', `Bearer ${jwt}`, 'x-api-key', ours], found('x-api-key')],
    [
      'lets a foreign key beside ours alone',
      ['x-api-key', 'sk-ant-1', 'Authorization', `Bearer ${ours}`],
      found('authorization'),
    ],
    [
      'names every place of one key',
      ['api-key', ours, 'Authorization', `Bearer ${ours}`],
      found('authorization', 'api-key'),
    ],
    ['refuses to choose between two keys of ours', ['x-api-key', other, 'Authorization', `Bearer ${ours}`], ambiguous],
    ['refuses to choose in one repeated header', ['x-api-key', ours, 'X-Api-Key', other], ambiguous],
    [
      'refuses to choose where Node keeps the first',
      ['Authorization', `Bearer ${ours}`, 'Authorization', `Bearer ${other}`],
      ambiguous,
    ],
    ['takes the same key twice in one header', ['x-api-key', ours, 'x-api-key', ours], found('x-api-key')],
    [
      'finds ours behind a JWT of the same header',
      ['Authorization', `Bearer ${jwt}`, 'Authorization', `Bearer ${ours}`],
      found('authorization'),
    ],
    ['calls two keys in one value invalid', ['x-api-key', `${ours}, ${other}`], invalid],
  ];
  for (const [title, headers, credential] of cases) {
    it(title, async () => assert.deepEqual(await read(headers), credential));
  }

  it('believes the parsed headers when something has set them anew', () => {
    const rawHeaders = ['Authorization', `Bearer ${other}`];
    const changed = { headers: { authorization: `Bearer ${ours}` }, rawHeaders };
    assert.deepEqual(readCredential(changed, isOurs), found('authorization'));
    assert.deepEqual(readCredential({ headers: {}, rawHeaders }, isOurs), missing);
  });
});

describe('readCredential, where imported secrets are accepted', () => {
  const mayBeImported = (text: string) => text.startsWith('sk-') && !isOurs(text);
  const readAll = (headers: readonly string[]) =>
    receive(headers, (received) => readCredential(received, isOurs, mayBeImported));

  it('finds one that stands alone, or beside a token of another kind', async () => {
    const found = (place: string) => ({ kind: 'found', secret: 'sk-imported', places: [place] });
    assert.deepEqual(await readAll(['Authorization', 'Bearer sk-imported']), found('authorization'));
    assert.deepEqual(await readAll(['Authorization', `Bearer ${jwt}`, 'api-key', 'sk-imported']), found('api-key'));
  });

  it('prefers what looks like ours', async () => {
    const credential = await readAll(['Authorization', 'Bearer sk-imported', 'x-api-key', ours]);
    assert.deepEqual(credential, { kind: 'found', secret: ours, places: ['x-api-key'] });
  });

  it('refuses to choose between two of them', async () => {
    const credential = await readAll(['Authorization', 'Bearer sk-imported', 'x-api-key', 'sk-other']);
    assert.deepEqual(credential, { kind: 'ambiguous' });
  });
});

describe('removeCredential', () => {
  function remove(received: IncomingMessage) {
    const credential: Credential = readCredential(received, isOurs);
    assert.ok(credential.kind === 'found');
    removeCredential(received, credential);
    const { headers, headersDistinct, rawHeaders } = received;
    return { headers, headersDistinct: { ...headersDistinct }, rawHeaders };
  }

  it('takes the key from everywhere it may be read, and leaves the rest', async () => {
    const left = await receive(
      ['X-Trace', 'a', 'Authorization', `Bearer ${ours}`, 'x-api-key', ours, 'x-trace', 'b'],
      remove,
    );
    assert.deepEqual(left, {
      headers: { host: 'localhost', connection: 'close', 'x-trace': 'a, b' },
      headersDistinct: { host: ['localhost'], connection: ['close'], 'x-trace': ['a', 'b'] },
      rawHeaders: ['Host', 'localhost', 'Connection', 'close', 'X-Trace', 'a', 'x-trace', 'b'],
    });
  });

  it('takes it also when the distinct headers were read before', async () => {
    const left = await receive(['x-api-key', ours], (received) => {
      assert.deepEqual(received.headersDistinct['x-api-key'], [ours]);
      return remove(received);
    });
    assert.ok(!JSON.stringify(left).includes(ours));
  });

  it('leaves a JWT where it is', async () => {
    const left = await receive(['Authorization', `Bearer ${jwt}`, 'x-api-key', ours], remove);
    assert.equal(left.headers.authorization, `Bearer ${jwt}`);
    assert.deepEqual(left.headersDistinct.authorization, [`Bearer ${jwt}`]);
    assert.ok(!JSON.stringify(left).includes(ours));
  });

  it('leaves the other values of a repeated header', async () => {
    const bearers = ['Authorization', `Bearer ${ours}`, 'Authorization', `Bearer ${jwt}`];
    const left = await receive([...bearers, 'x-api-key', 'sk-foreign', 'x-api-key', ours], remove);
    assert.equal(left.headers.authorization, `Bearer ${jwt}`);
    assert.equal(left.headers['x-api-key'], 'sk-foreign');
    assert.deepEqual(left.headersDistinct['x-api-key'], ['sk-foreign']);
    assert.deepEqual(left.rawHeaders.slice(4), ['Authorization', `Bearer ${jwt}`, 'x-api-key', 'sk-foreign']);
  });
});
