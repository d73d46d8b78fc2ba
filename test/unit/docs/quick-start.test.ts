import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

const file = 'examples/quick-start.ts';

describe('the quick start', () => {
  it('stands in the README byte for byte', () => {
    const readme = readFileSync('README.md', 'utf8');
    const blocks = Array.from(readme.matchAll(/^```ts\n(.*?)^```$/gms), ([, code]) => code);
    assert.equal(blocks.filter((code) => code === readFileSync(file, 'utf8')).length, 1);
  });

  it('answers a request with the secret that it prints, and an admin with the token', async () => {
    const port = await freePort();
    const env = { ...process.env, PORT: String(port), ADMIN_TOKEN: 'of-this-test' };
    const app = spawn(process.execPath, ['--import', 'tsx', file], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const secret = await printedSecret(app.stdout);
      const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'good morning' }] }),
      });
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get('x-ratelimit-remaining-requests'), '59');
      const { usage } = (await answer.json()) as { usage: unknown };
      assert.deepEqual(usage, { prompt_tokens: 2, completion_tokens: 2, total_tokens: 4 });

      const list = await fetch(`http://127.0.0.1:${port}/api-keys`, {
        headers: { authorization: 'Bearer of-this-test' },
      });
      const { items } = (await list.json()) as { items: { name: string; spend: number }[] };
      assert.deepEqual(
        items.map(({ name, spend }) => ({ name, spend })),
        [{ name: 'Production', spend: 0.000025 }],
      );
      const stranger = await fetch(`http://127.0.0.1:${port}/api-keys`, {
        headers: { authorization: 'Bearer undefined' },
      });
      assert.equal(stranger.status, 401);
    } finally {
      if (app.exitCode === null) {
        app.kill();
        await once(app, 'exit');
      }
    }
  });
});

async function printedSecret(output: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface({ input: output })) {
    const secret = /sk-llm-\w{49}/.exec(line)?.[0];
    if (secret !== undefined) return secret;
  }
  throw new Error(`${file} ended without printing a secret`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('The server has no port');
  return address.port;
}
