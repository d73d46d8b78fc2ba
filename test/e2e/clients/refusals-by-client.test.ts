import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import express from 'express';
import type { LlmGuardOptions } from '../../../lib/http/guard.ts';
import type { KeyInput } from '../../../lib/keys/key-input.ts';
import { mintSecret } from '../../../lib/keys/secret.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { createEchoModel } from '../../../lib/testing/echo-model/echo-model.ts';
import { priceBook } from '../../../lib/usage/pricing.ts';
import { guardedApp } from '../../support/apps.ts';
import { listen } from '../../support/listen.ts';
import { call, createKey, storeWith, type TestService, testService } from '../../support/service.ts';
import { type AskingClient, askingClients } from './asking-clients.ts';

interface Case {
  readonly title: string;
  readonly key?: Partial<KeyInput>;
  readonly options?: Omit<LlmGuardOptions, 'keys'>;
  readonly model?: string;
  /** What happens before the client asks. */
  readonly prepare?: (setup: TestService & { readonly keyId: string; readonly url: string }) => unknown;
  readonly secret?: 'none' | 'unknown';
  readonly isStoreDown?: boolean;
}

const admitted = ({ keys, keyId }: TestService & { readonly keyId: string }) =>
  keys.admit(call(keyId, { tokens: 150 }));

const cases: readonly Case[] = [
  { title: 'no key', secret: 'none' },
  { title: 'unknown key', secret: 'unknown' },
  { title: 'revoked key', prepare: ({ keys, keyId }) => keys.revoke(keyId) },
  { title: 'disabled key', prepare: ({ keys, keyId }) => keys.disable(keyId) },
  { title: 'expired key', key: { expiresInDays: 1 }, prepare: ({ clock }) => clock.advance(86_400_000) },
  { title: 'too many bad keys', secret: 'unknown', prepare: guessOften },
  { title: 'address', key: { allowedIps: ['192.0.2.0/24'] } },
  { title: 'model', key: { models: ['other'] } },
  { title: 'endpoint', key: { permissions: { allowChatCompletions: false } } },
  { title: 'requests a minute', key: { rpmLimit: 1 }, prepare: admitted },
  { title: 'requests a day', key: { rpdLimit: 1 }, prepare: admitted },
  { title: 'tokens a minute', key: { tpmLimit: 200 }, prepare: admitted },
  { title: 'concurrency', key: { maxParallelRequests: 1 }, prepare: admitted },
  { title: 'too large for a minute', key: { tpmLimit: 50 } },
  { title: 'too large for a request', key: { maxTokensPerRequest: 50 } },
  { title: 'budget', key: { maxBudget: 0.0001, budgetDuration: 'monthly' } },
  { title: 'budget, `budgetStatus: 402`', key: { maxBudget: 0.0001 }, options: { budgetStatus: 402 } },
  { title: 'unpriced under a budget', key: { maxBudget: 1 }, model: 'nameless' },
  { title: 'store down', isStoreDown: true },
];

const introduction = `# Refusals, as clients tell them

The class, status and code of the error that a client throws, and how often it has asked, with its own number of retries.
The code is OpenAI's \`code\`, Anthropic's \`error_code\` or Gemini's \`reason\`.
A test writes this table and compares it: \`UPDATE=1 npx mocha test/e2e/clients/refusals-by-client.test.ts\`.
`;
const table = new URL('../../../docs/refusals-by-client.md', import.meta.url);
const prices = priceBook({ 'gpt-4o': { inputPerMillion: 2.5, outputPerMillion: 10 } });
const realTimeout = globalThis.setTimeout;
/** Whether a client's own code runs, other than what it sends requests with. */
const inClient = new AsyncLocalStorage<true>();

describe('Refusals, by client', function () {
  this.timeout(60_000);

  before(() => {
    // LangChain waits for up to 64 s before it tries again, others less. What they wait for besides takes minutes.
    globalThis.setTimeout = Object.assign(
      (act: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) =>
        realTimeout(act, inClient.getStore() && ms <= 64_000 ? 1 : ms, ...args),
      realTimeout,
    );
  });
  after(() => {
    globalThis.setTimeout = realTimeout;
  });

  it('are as docs/refusals-by-client.md tells', async () => {
    const names = await Promise.all(askingClients.map(({ name }) => nameAndVersion(name)));
    const rows = [['case', ...names]];
    for (const refusal of cases) {
      const cells = [];
      for (const client of askingClients) cells.push(await refused(refusal, client));
      rows.push([refusal.title, ...cells]);
    }
    const text = `${introduction}\n${markdownTable(rows)}\n`;
    if (process.env.UPDATE !== undefined) await writeFile(table, text);
    assert.equal(text, await readFile(table, 'utf8'));
  });
});

/** What the client tells of the refusal, and how often it has asked. */
async function refused(refusal: Case, client: AskingClient): Promise<string> {
  const working = memoryStore();
  const admit = refusal.isStoreDown ? () => Promise.reject(new Error('connection lost')) : working.admit;
  const service = testService({ prices, store: storeWith(working, { admit }) });
  const { key, secret } = await createKey(service, refusal.key);
  const app = guardedApp(express, { keys: service.keys, ...refusal.options }, createEchoModel());
  const { url, close } = await listen(app);
  let calls = 0;
  const countedFetch: typeof fetch = (input, init) => {
    calls += 1;
    const headers = new Headers(init?.headers);
    if (refusal.secret === 'none') for (const name of credentialHeaders) headers.delete(name);
    return inClient.exit(() => fetch(input, { ...init, headers }));
  };
  try {
    await refusal.prepare?.({ ...service, keyId: key.id, url });
    const asked = {
      url,
      secret: refusal.secret === 'unknown' ? mintSecret('sk-llm') : secret,
      model: refusal.model ?? 'gpt-4o',
      fetch: countedFetch,
    };
    await inClient.run(true, async () => client.ask(asked));
  } catch (error) {
    const { name, status, code } = client.told(error);
    return `${[name, status, code].filter((told) => told !== undefined).join(' ')}, ${calls}×`;
  } finally {
    await close();
    await service.keys.close();
  }
  return assert.fail(`${client.name} was not refused: ${refusal.title}`);
}

const credentialHeaders = ['authorization', 'x-api-key', 'x-goog-api-key'];

async function guessOften({ url }: { readonly url: string }): Promise<void> {
  for (let count = 0; count < 20; count += 1) {
    const headers = { authorization: `Bearer ${mintSecret('sk-llm')}` };
    await (await fetch(`${url}/v1/models`, { headers })).text();
  }
}

/** Rows of which the first is the head, in columns that stand one under another. */
function markdownTable(rows: readonly (readonly string[])[]): string {
  const [head = [], ...others] = rows;
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`;
  const rule = line(widths.map((width) => '-'.repeat(width)));
  return [line(head), rule, ...others.map(line)].join('\n');
}

async function nameAndVersion(dependency: string): Promise<string> {
  const manifest = fileURLToPath(new URL(`../../../node_modules/${dependency}/package.json`, import.meta.url));
  const { name, version } = JSON.parse(await readFile(manifest, 'utf8'));
  return `\`${name}\` ${version}`;
}
